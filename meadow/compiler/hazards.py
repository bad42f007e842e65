# SPDX-License-Identifier: Apache-2.0
"""Which units a command has to wait for: found from what commands read and write on chip.

Data in DRAM is not looked at: a command that fetches what an earlier one stored carries HOLD_FETCH.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meadow.spec.commands import Command, Flag, MatmulOutput, Opcode, RowSet, Space, Unit
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig

__all__ = ["Footprint", "footprints", "with_waits"]

_UNITS = {
    Opcode.LOAD: Unit.LOADER,
    Opcode.STORE: Unit.STORER,
    Opcode.MATMUL: Unit.ARRAY,
    Opcode.ATTEND: Unit.ARRAY,
    Opcode.NORM: Unit.VECTOR,
    Opcode.VECTOR: Unit.VECTOR,
}


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


def footprints(
    command: Command, config: AcceleratorConfig, tokens: int
) -> tuple[tuple[Footprint, ...], tuple[Footprint, ...]]:
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
        space = "norm" if values.get("space", 0) == Space.NORM else "activations"
        return (), (area("destination", values["row_beats"], space=space),)
    if opcode == Opcode.STORE:
        return (area("source", values["segments"] * values["segment_beats"]),), ()
    if opcode == Opcode.MATMUL:
        wide = values["output"] in (MatmulOutput.RESIDUAL16, MatmulOutput.LOGITS16)
        written = area("destination", values["slices"] * word * (2 if wide else 1))
        reads, writes = (area("source", values["tiles"] * word),), (written,)
        if values["output"] == MatmulOutput.RESIDUAL16:
            reads += (written,)
        if values["output"] == MatmulOutput.LOGITS16:
            writes += (candidates,)
        return reads, writes
    if opcode == Opcode.ATTEND:
        heads = area("query", values["blocks"] * values["segment_beats"], values["column_beats"])
        return (heads,), (heads,)
    if opcode == Opcode.NORM:
        parameters = Footprint("norm", 0, 1, 4 * config.norm_channels // BEAT_BYTES, 1)
        source = area("source", values["words"] * word)
        return (source, parameters), (area("destination", values["words"] // 2 * word),)
    if opcode == Opcode.VECTOR:
        return (candidates,), (area("destination", 1),)
    return (), ()


def with_waits(
    commands: Sequence[Command], config: AcceleratorConfig, tokens: int
) -> list[Command]:
    """The commands with the smallest `wait` that keeps every result, for chunks of at most `tokens` rows.

    A command waits for a unit if an earlier command there, not waited for yet, writes what this one reads or writes,
    or reads what this one writes. Within the array, which reads, computes and writes in program order, only the first
    counts. A conditional command may not run, so nobody relies on its waiting. FENCE and END wait for everything.
    """
    pending: dict[Unit, list[tuple[tuple[Footprint, ...], tuple[Footprint, ...]]]] = {
        unit: [] for unit in _UNITS.values()
    }
    result = []
    for command in commands:
        unit = _UNITS.get(command.opcode)
        if unit is None:
            wait = Unit.ALL
        else:
            reads, writes = footprints(command, config, tokens)
            wait = Unit(0)
            for other, earlier in pending.items():
                in_order = unit == other == Unit.ARRAY
                for old_reads, old_writes in earlier:
                    touched = reads if in_order else reads + writes
                    if _meet(old_writes, touched) or (not in_order and _meet(old_reads, writes)):
                        wait |= other
        result.append(replace(command, wait=wait))
        if not command.condition:
            for other in pending:
                if other & wait or command.flags & Flag.HOLD_FETCH:
                    pending[other] = []
        if unit is not None:
            pending[unit].append((reads, writes))
    return result


def _meet(some: tuple[Footprint, ...], others: tuple[Footprint, ...]) -> bool:
    return any(one.meets(other) for one in some for other in others)
