# SPDX-License-Identifier: Apache-2.0
"""Issue: starts each tile operation once its tile, its operand and its accumulators are there, and
reads the tile.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.row_pairing import RowPairing
from rtl_gen.array.tile_buffer import TileBuffer, tile_read_layout
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.lane import Target, accumulation_layout
from rtl_gen.interfaces.schedule import tile_op_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["Issue"]


class Issue(wiring.Component):
    """One tile read per cycle of a tile operation; they follow each other without a gap when
    everything is ready.

    A tile operation of fewer cycles than `LaneLatency.revisit` is followed by idle cycles up to
    that length, because the next one may accumulate at the same addresses.

    Members
    -------
    i_op: In stream of tile_op_layout, operand in (or on its way to) the shadow registers.
    i_tile_done: In, a bit for each port, pulse: the port has filled its part of the next tile.
    o_tile_free: Out, pulse: a slot is free again.
    o_tile: Out(tile_read_layout).
    o_issue: Out stream of accumulation_layout, always ready, in step with the rows that come of
        o_tile.
    o_swap: Out, the operand of a tile operation becomes the active one; in the cycle before its
        first issue, if it has one.
    o_phase_done: Out, pulse with the last tile read of a phase.
    i_drained: In, a bit for each Target, pulse: a drain job of the target has ended.
    active: Out, one tile read in this cycle.
    active_command: Out, while `active`, index of its command.
    waiting_tile, waiting_drain: Out, what a tile operation offered at i_op waits for.

    Latency: START_TO_ISSUE cycles from a transfer at i_op to the first o_issue, START_TO_SWAP, one
    less, to o_swap.
    """

    START_TO_ISSUE = 1 + TileBuffer.LATENCY + RowPairing.LATENCY
    START_TO_SWAP = START_TO_ISSUE - 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_op": In(stream.Signature(tile_op_layout(config))),
                "i_tile_done": In(config.ports),
                "o_tile_free": Out(1),
                "o_tile": Out(tile_read_layout(config)),
                "o_issue": Out(stream.Signature(accumulation_layout(config), always_ready=True)),
                "o_swap": Out(1),
                "o_phase_done": Out(1),
                "i_drained": In(len(Target)),
                "active": Out(1),
                "active_command": Out(INDEX_BITS),
                "waiting_tile": Out(1),
                "waiting_drain": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        offered = self.i_op.payload
        revisit = LaneLatency.of(config).revisit
        longest = max(config.tile_cycles, revisit)

        start = Signal()
        tile_taken = Signal()
        m.d.comb += tile_taken.eq(start & offered.tile_last)
        filled = []
        for port, done in enumerate(self.i_tile_done):
            tiles = Signal(3, name=f"tiles_{port}")
            with m.If(done & ~tile_taken):
                m.d.sync += tiles.eq(tiles + 1)
            with m.Elif(tile_taken & ~done):
                m.d.sync += tiles.eq(tiles - 1)
            filled.append(tiles != 0)

        op = Signal(tile_op_layout(config), reset_less=True)
        left = Signal(range(config.tile_cycles + 1))  # tile reads
        rest = Signal(range(longest + 1))  # cycles before the next start may take effect
        swap = Signal()
        slot = Signal(reset_less=True)
        next_slot = Signal()
        ends = Signal()
        m.d.comb += [
            self.active.eq(left != 0),
            self.active_command.eq(op.command),
            ends.eq(left == 1),
            self.o_tile_free.eq(ends & op.tile_last),
            self.o_phase_done.eq(ends & op.phase_last),
        ]

        undrained = []
        for target, shrinks in zip(Target, self.i_drained, strict=True):
            pending = Signal(2, name=f"undrained_{target.name.lower()}")
            grows = self.o_phase_done & (op.work.target == target)
            with m.If(grows & ~shrinks):
                m.d.sync += pending.eq(pending + 1)
            with m.Elif(shrinks & ~grows):
                m.d.sync += pending.eq(pending - 1)
            undrained.append(pending != 0)

        undrained_of = Array([*undrained, 0])
        # Two OUTPUT phases may follow each other: the first one is not yet counted while its last
        # one runs.
        ending = self.active & op.phase_last & (op.work.target == offered.work.target)
        m.d.comb += [
            self.waiting_tile.eq(self.i_op.valid & ~Cat(*filled).all()),
            self.waiting_drain.eq(
                self.i_op.valid
                & offered.phase_first
                & (undrained_of[offered.work.target.as_value()] | ending)
            ),
            self.i_op.ready.eq((rest <= 1) & Cat(*filled).all() & ~self.waiting_drain),
            start.eq(self.i_op.valid & self.i_op.ready),
        ]
        with m.If(start):
            m.d.sync += [
                op.eq(offered),
                left.eq(offered.cycles),
                rest.eq(Mux(offered.cycles > revisit, offered.cycles, revisit)),
                swap.eq(1),
                slot.eq(next_slot),
                next_slot.eq(next_slot ^ offered.tile_last),
            ]
        with m.Else():
            m.d.sync += [
                op.index.eq(op.index + 1),
                op.work.address.eq(op.work.address + 1),
                left.eq(left - self.active),
                rest.eq(rest - (rest != 0)),
                swap.eq(0),
            ]

        m.d.comb += [
            self.o_tile.slot.eq(slot),
            self.o_tile.by_column.eq(op.by_column),
            self.o_tile.index.eq(op.index),
        ]
        cycles = self.START_TO_ISSUE - 1
        valid = delayed(m, self.active, cycles, "issue_valid", reset_less=False)
        m.d.comb += [
            self.o_issue.payload.eq(delayed(m, op.work, cycles, "work")),
            self.o_issue.valid.eq(valid),
            self.o_swap.eq(delayed(m, swap, cycles - 1, "swap", reset_less=False)),
        ]
        return m
