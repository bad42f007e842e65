# SPDX-License-Identifier: Apache-2.0
"""What a command writes in the activation memory: which token's element a byte of it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meadow.spec.commands import AttendPart, Command, Opcode, RowSet, Space
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import EPILOGUES, MatmulOutput
from meadow.spec.step import Step

__all__ = ["Place", "place_of"]


@dataclass(frozen=True, order=True)
class Place:
    """token: row of the chunk (of the command's row set, or of SOFTMAX's rows); element: of what is
    written there;
    size_bytes: of an element.

    In a row of scores or probabilities the word in front of them, which holds the total, has the
    elements 0 .. W/2 - 1.
    """

    token: int
    element: int
    size_bytes: int


@dataclass(frozen=True)
class _Area:
    """Rows that a command writes: `words` words of row r from `first` + r * `stride` on."""

    first: int
    stride: int
    rows: int
    words: int
    size_bytes: int = 1
    token: int = 0
    """Token of row 0."""


def place_of(
    command: Command, step: Step, config: AcceleratorConfig, word: int, byte: int
) -> Place | None:
    """The place of a byte of the activation memory, None if the command does not write it in this
    step.
    """
    for area in _written(command, step, config):
        # A single row may have any stride, 0 too.
        row, column = divmod(word - area.first, area.stride or area.words)
        if 0 <= row < area.rows and column < area.words:
            element = (column * config.width + byte) // area.size_bytes
            return Place(row + area.token, element, area.size_bytes)
    return None


def _written(command: Command, step: Step, config: AcceleratorConfig) -> Iterator[_Area]:
    fields = command.values
    target = (fields.get("destination", 0), fields.get("destination_stride", 0))
    rows = fields.get("rows", 0)
    if "row_set" in fields:
        rows = step.row_count(RowSet(fields["row_set"]), rows)
    match command.opcode:
        case Opcode.LOAD if fields["space"] == Space.ACTIVATION:
            yield _Area(*target, rows, fields["row_beats"] * BEAT_BYTES // config.width, 2)
        case Opcode.MATMUL:
            size = EPILOGUES[MatmulOutput(fields["output"])].element_bytes
            yield _Area(*target, rows, fields["slices"] * size, size)
        case Opcode.NORM:
            yield _Area(*target, rows, fields["words"] // 2)
            if fields["residual"]:
                yield _Area(fields["source"], fields["source_stride"], rows, fields["words"], 2)
        case Opcode.ATTEND:
            first, rows = fields["first"], rows or step.rows
            base, stride = fields["query"], fields["query_stride"]
            if fields["part"] == AttendPart.SCORES:
                base, stride = fields["scores"], fields["scores_stride"]
                yield _Area(base, stride, rows, stride, 2, first)
            else:
                words = fields["heads"] * fields["blocks"]
                yield _Area(base + first * stride, stride, rows, words, token=first)
        case Opcode.SOFTMAX:
            stride = fields["source_stride"]
            yield _Area(fields["source"], stride, rows, stride, 2)
        case Opcode.VECTOR:
            yield _Area(*target, rows, 1, 4)
