# SPDX-License-Identifier: Apache-2.0
"""Tile operations of an ATTEND, from where it is."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import AttendPart, Opcode
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.array.attend_place import attend_group_layout, attend_pass_layout
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import attends_part, command_layout
from rtl_gen.interfaces.lane import Target
from rtl_gen.interfaces.schedule import tile_op_layout

__all__ = ["AttendTileOp"]


class AttendTileOp(wiring.Component):
    """The tile operation of one token group of a pass.

    Members
    -------
    command: In(ATTEND), stable for 1 cycle before `op` is used.
    place: In(attend_pass_layout), the pass.
    group: In(attend_group_layout), the group.
    sequence_ends: In, the pass is the last one of its kind in its sequence.
    pass_ends: In, the group is the last one of its pass.
    hold: In, 1 makes the tile operation of no cycles that waits for the drain of an earlier
        command.
    mask: Out, 16-byte parts of a word that belong to the head.
    op: Out(tile_op_layout) without `command`; the target of scores is BUFFER0. Combinational, but
        for what depends on the command alone.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.ATTEND)),
                "place": In(attend_pass_layout(config)),
                "group": In(attend_group_layout(config)),
                "sequence_ends": In(1),
                "pass_ends": In(1),
                "hold": In(1),
                "mask": Out(config.word_beats),
                "op": Out(tile_op_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, command, place, group = self._config, self.command, self.place, self.group
        op, work, operand = self.op, self.op.work, self.op.operand
        index_bits = (config.tile_cycles - 1).bit_length()
        unit_bits = (BEAT_BYTES // config.rows).bit_length() - 1
        column = Signal(range(config.tile_cycles), reset_less=True)
        column_cycles = Signal(range(config.tile_cycles + 1), reset_less=True)
        first = Signal()
        values_only = Signal()
        mask = payload_register(m, self.mask, "mask_register")
        m.d.sync += [
            mask.eq(((1 << command.segment_beats) - 1) << command.column_beats),
            column.eq(Cat(Const(0, unit_bits), command.column_beats)),
            column_cycles.eq(Cat(Const(0, unit_bits), command.segment_beats)),
        ]
        m.d.comb += [
            first.eq((place.head == 0) & group.opens),
            values_only.eq(attends_part(config, command, AttendPart.VALUES)),
            op.tile_last.eq(group.ends),
            op.by_column.eq(place.by_value),
            work.bank.eq(place.block[0]),
            work.group.eq(group.group),
            operand.words.eq(group.words),
            operand.walk.base.eq(group.source),
            operand.walk.heads.eq(command.heads),
            operand.walk.head_stride.eq(command.blocks),
            operand.total_source.eq(group.source - 1),
        ]
        with m.If(place.by_value):
            m.d.comb += [
                op.phase_first.eq(first & (place.block == 0) & ~values_only),
                op.phase_last.eq(self.pass_ends & self.sequence_ends),
                op.index.eq(column),
                op.cycles.eq(column_cycles),
                work.target.eq(Target.OUTPUT),
                work.address.eq(Cat(column, (place.head_base + group.group))),
                work.first.eq(place.block == 0),
                work.rescale.eq((place.block != 0) & ~values_only),
                operand.fetch.eq(~values_only),
                operand.fetch_first.eq((place.head == 0) & ~values_only),
            ]
        with m.Else():
            m.d.comb += [
                op.phase_first.eq(first),
                op.phase_last.eq(self.pass_ends),
                op.cycles.eq(group.cycles),
                work.address.eq(Cat(Const(0, index_bits), group.group)),
                work.first.eq(place.head == 0),
            ]
        with m.If(values_only):
            m.d.comb += [
                operand.walk.stride.eq(command.scores_stride),
                operand.mask.eq(~Const(0, len(operand.mask))),
                operand.wide.eq(1),
                operand.totals.eq((place.block == 0) & (place.head == 0)),
            ]
        with m.Else():
            m.d.comb += [
                operand.walk.stride.eq(command.query_stride),
                operand.mask.eq(self.mask),
            ]
        with m.If(self.hold):
            m.d.comb += [
                op.tile_last.eq(0),
                op.phase_first.eq(1),
                op.phase_last.eq(0),
                op.cycles.eq(0),
                operand.words.eq(1),
                operand.totals.eq(0),
            ]
        return m
