# SPDX-License-Identifier: Apache-2.0
"""Bytes of the activation memory by the command that wrote them."""

from __future__ import annotations

import pytest

from meadow.spec.commands import (
    AttendPart,
    Command,
    Opcode,
    RowSet,
    Space,
    command_fields,
)
from meadow.spec.config import named_config
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.step import Sequence, Step
from workbench.run.command_writes import Place, place_of

TINY = named_config("tiny")
W = TINY.width


STEP = Step((Sequence(kv_base=0, position=4, tokens=12, first_row=0),))


def command(opcode: Opcode, **values: int) -> Command:
    """Of all rows of the chunk where it has a row set, its other fields 0."""
    fields: dict[str, int] = {field.name: 0 for field in command_fields(opcode)}
    if "row_set" in fields:
        fields["row_set"] = RowSet.CHUNK
    return Command(opcode, fields | values)


def to(first: int, stride: int) -> dict[str, int]:
    return {"destination": first, "destination_stride": stride}


MATMUL = to(100, 10) | {"slices": 3}
SCORES = {"scores": 50, "scores_stride": 9, "query": 500, "query_stride": 4, "heads": 1}
CASES = [
    # Row 2, third word: INT8 of three slices of channels.
    (command(Opcode.MATMUL, **MATMUL, output=MatmulOutput.INT8), 122, 3, (2, 2 * W + 3, 1)),
    (command(Opcode.MATMUL, **MATMUL, output=MatmulOutput.GATE), 122, 3, (2, 2 * W + 3, 1)),
    (command(Opcode.MATMUL, **MATMUL, output=MatmulOutput.INT8), 123, 0, None),
    (command(Opcode.MATMUL, **MATMUL, output=MatmulOutput.INT8), 99, 0, None),
    # INT16 takes two words for as many channels.
    (command(Opcode.MATMUL, **MATMUL, output=MatmulOutput.RESIDUAL16), 123, 5, (2, 26, 2)),
    (command(Opcode.MATMUL, **MATMUL, output=MatmulOutput.LOGITS16), 126, 0, None),
    (command(Opcode.LOAD, **to(8, 4), row_beats=2), 13, 15, (1, 15, 2)),
    (command(Opcode.LOAD, **to(8, 4), row_beats=2), 14, 0, None),
    (command(Opcode.LOAD, **to(8, 4), row_beats=2, space=Space.NORM), 8, 0, None),
    (command(Opcode.LOAD, **to(8, 4), row_beats=2, space=Space.TABLE), 8, 0, None),
    (command(Opcode.NORM, **to(0, 2), source=40, source_stride=4, words=4), 3, 1, (1, 17, 1)),
    (command(Opcode.NORM, **to(0, 2), source=40, source_stride=4, words=4), 45, 2, None),
    (
        command(Opcode.NORM, **to(0, 2), source=40, source_stride=4, words=4, residual=1),
        *(45, 2, (1, 9, 2)),
    ),
    (
        command(Opcode.ATTEND, query=500, query_stride=8, heads=2, blocks=3),
        *(513, 4, (1, 5 * W + 4, 1)),
    ),
    (command(Opcode.ATTEND, query=500, query_stride=8, heads=2, blocks=3), 506, 0, None),
    # Rows of scores are counted from the first token of the part.
    (
        command(Opcode.ATTEND, **SCORES, part=AttendPart.SCORES, first=6, rows=4),
        *(60, 2, (7, W // 2 + 1, 2)),
    ),
    (command(Opcode.ATTEND, **SCORES, part=AttendPart.SCORES, first=6, rows=4), 500, 0, None),
    (
        command(Opcode.ATTEND, **SCORES, part=AttendPart.VALUES, first=6, rows=4, blocks=1),
        *(528, 1, (7, 1, 1)),
    ),
    (command(Opcode.SOFTMAX, source=50, source_stride=9, rows=4), 68, 0, (2, 0, 2)),
    (command(Opcode.VECTOR, **to(3, 1)), 5, 4, (2, 1, 4)),
    (command(Opcode.VECTOR, **to(3, 1)), 15, 0, None),
    (command(Opcode.VECTOR, **to(3, 1), row_set=RowSet.HEAD), 3, 0, (0, 0, 4)),
    (command(Opcode.VECTOR, **to(3, 1), row_set=RowSet.HEAD), 4, 0, None),
    (command(Opcode.VECTOR, **to(3, 1), row_set=RowSet.FIXED, rows=2), 5, 0, None),
    (command(Opcode.STORE, source=0, source_stride=4), 0, 0, None),
    (command(Opcode.FENCE), 0, 0, None),
]


@pytest.mark.parametrize(("written", "word", "byte", "expected"), CASES)
def test_a_byte_is_a_tokens_element(
    written: Command, word: int, byte: int, expected: tuple[int, int, int] | None
) -> None:
    place = None if expected is None else Place(*expected)
    assert place_of(written, STEP, TINY, word, byte) == place
