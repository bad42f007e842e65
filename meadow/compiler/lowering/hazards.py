# SPDX-License-Identifier: Apache-2.0
"""Which units a command has to wait for: found from what commands read and write on chip.

Data in DRAM is not looked at: a command that fetches what an earlier one stored carries HOLD_FETCH.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from meadow.spec.commands import (
    UNIT_OF,
    AttendPart,
    Command,
    Opcode,
    Outputs,
    RowSet,
    Space,
    Unit,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import EPILOGUES, MatmulOutput, SecondOperand
from meadow.spec.numerics import TABLE_ENTRIES

__all__ = ["Footprint", "footprints", "with_waits"]

_VARIANTS = Outputs.NARROW | Outputs.WIDE


@dataclass(frozen=True)
class Footprint:
    """Beats first + r * stride .. + length - 1 of `space` for rows r below `rows`."""

    space: str
    first: int
    stride: int
    length: int
    rows: int

    @property
    def end(self) -> int:
        """Beat after the last one."""
        return self.first + (self.rows - 1) * self.stride + self.length

    def meets(self, other: Footprint) -> bool:
        """True if the two may share a beat; exact for equal strides whose rows do not overlap."""
        if self.space != other.space or self.end <= other.first or other.end <= self.first:
            return False
        stride = self.stride
        if stride != other.stride or max(self.length, other.length) > stride:
            return True
        ahead = (other.first - self.first) % stride
        return ahead < self.length or stride - ahead < other.length


Footprints = tuple[Footprint, ...]


def footprints(
    command: Command, config: AcceleratorConfig, tokens: int
) -> tuple[Footprints, Footprints]:
    """(reads, writes) of a command on chip, for chunks of at most `tokens` rows."""
    values = {"row_set": int(RowSet.CHUNK)} | dict(command.values)
    word = config.word_beats
    rows = values.get("rows", 0) if values["row_set"] == RowSet.FIXED else tokens

    def area(name: str, beats: int, column: int = 0, space: str = "activations") -> Footprint:
        stride = values.get(f"{name}_stride", 0) * word
        return Footprint(space, values.get(name, 0) * word + column, stride, beats, max(1, rows))

    candidates = Footprint("candidates", 0, 1, 1, tokens)
    opcode = command.opcode
    if opcode == Opcode.LOAD:
        space = Space(values.get("space", 0))
        name = "activations" if space == Space.ACTIVATION else space.name.lower()
        return (), (area("destination", values["row_beats"], space=name),)
    if opcode == Opcode.STORE:
        return (area("source", values["segments"] * values["segment_beats"]),), ()
    if opcode == Opcode.MATMUL:
        return _matmul(values, word, area, candidates)
    if opcode == Opcode.ATTEND:
        return _attend(values, word, tokens)
    if opcode == Opcode.NORM:
        parameters = Footprint("norm", 0, 1, 4 * config.norm_channels // BEAT_BYTES, 1)
        source = area("source", values["words"] * word)
        writes = (area("destination", values["words"] // 2 * word),)
        if values.get("residual", 0):
            writes += (source,)
        return (source, parameters), writes
    if opcode == Opcode.SOFTMAX:
        stride = values["source_stride"] * word
        scores = Footprint("activations", values["source"] * word, stride, stride, values["rows"])
        return (scores,), (scores,)
    if opcode == Opcode.VECTOR:
        return (candidates,), (area("destination", word),)
    return (), ()


def _matmul(
    values: dict[str, int], word: int, area: Callable[[str, int], Footprint], candidates: Footprint
) -> tuple[Footprints, Footprints]:
    epilogue = EPILOGUES[MatmulOutput(values["output"])]
    written = area("destination", values["slices"] * word * epilogue.element_bytes)
    reads, writes = (area("source", values["tiles"] * word),), (written,)
    match epilogue.second:
        case SecondOperand.DESTINATION:
            reads += (written,)
        case SecondOperand.ROTARY | SecondOperand.ACTIVATED:
            # A GATE may write the words that it has read itself, as it is done with them.
            words = values.get("operand_words", 0) or 2 * values["slices"]
            reads += (area("operand", words * word),)
        case SecondOperand.TABLE:
            reads += (Footprint("table", 0, 1, 2 * TABLE_ENTRIES // BEAT_BYTES, 1),)
    if epilogue.arg_max:
        writes += (candidates,)
    return reads, writes


def _attend(values: dict[str, int], word: int, tokens: int) -> tuple[Footprints, Footprints]:
    """A head's words lie side by side; the columns of narrow heads keep out of each other's way."""
    rows = values.get("rows", 0) or tokens
    stride = values["query_stride"] * word
    first = values["query"] * word + values.get("first", 0) * stride
    count, length = max(1, values.get("heads", 1)), values["blocks"] * values["segment_beats"]
    if length % word == 0:
        places, length = [first], count * length
    else:
        places = [first + head * word + values["column_beats"] for head in range(count)]
    heads = tuple(Footprint("activations", place, stride, length, rows) for place in places)
    part = values.get("part", 0)
    if part == AttendPart.WHOLE:
        return heads, heads
    stride = values["scores_stride"] * word
    scores = (Footprint("activations", values["scores"] * word, stride, stride, rows),)
    return (heads, scores) if part == AttendPart.SCORES else (scores, heads)


@dataclass
class _Pending:
    """What a command did, and the conditions (Outputs bits) under which somebody waited for it."""

    reads: Footprints
    writes: Footprints
    waited: Outputs = Outputs(0)


def with_waits(
    commands: Sequence[Command], config: AcceleratorConfig, tokens: int
) -> list[Command]:
    """The commands with the smallest `wait` that keeps every result, for chunks of at most `tokens`
    rows.

    A command waits for a unit if an earlier command there, not waited for yet, writes what this one
    reads or writes, or reads what this one writes. Within the array, which reads, computes and
    writes in program order, only the first counts. A conditional command may not run: its waiting
    serves those that run only if it does, and both variants' (NARROW and WIDE) serve everybody.
    HOLD_FETCH holds the fetch part only: nobody relies on it. FENCE and END wait for everything.
    """
    pending: dict[Unit, list[_Pending]] = {unit: [] for unit in UNIT_OF.values()}
    result = []
    for command in commands:
        unit, condition = UNIT_OF.get(command.opcode), command.condition
        if unit is None:
            reads, writes, wait = (), (), Unit.ALL
        else:
            reads, writes = footprints(command, config, tokens)
            wait = Unit(0)
            for other, earlier in pending.items():
                in_order = unit == other == Unit.ARRAY
                for one in earlier:
                    if condition and not condition & ~one.waited:
                        continue
                    touched = reads if in_order else reads + writes
                    if _meet(one.writes, touched) or (not in_order and _meet(one.reads, writes)):
                        wait |= other
        result.append(replace(command, wait=wait))
        for other, earlier in pending.items():
            if other & wait:
                for one in earlier:
                    one.waited |= condition
                pending[other] = [one for one in earlier if condition and _VARIANTS & ~one.waited]
        if unit is not None:
            pending[unit].append(_Pending(reads, writes))
    return result


def _meet(some: Footprints, others: Footprints) -> bool:
    return any(one.meets(other) for one in some for other in others)
