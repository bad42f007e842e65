# SPDX-License-Identifier: Apache-2.0
"""Issue: starts each step once its tile, its operand and its accumulators are there, and reads the
tile.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.tile_buffer import TileBuffer, tile_read_layout
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.lane import Target, issue_layout
from rtl_gen.interfaces.schedule import array_step_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["Issue"]


class Issue(wiring.Component):
    """One tile read per cycle of a step; steps follow each other without a gap when everything is
    ready.

    A step of fewer cycles than `LaneLatency.revisit` is followed by idle cycles up to that length,
    because the next one may accumulate at the same addresses.

    Members
    -------
    i_step : In stream of array_step_layout, operand in (or on its way to) the shadow registers.
    i_tile_done: In, a bit for each port, pulse: the port has filled its part of the next tile.
    o_tile_free: Out, pulse: a slot is free again.
    o_tile : Out(tile_read_layout). o_issue : Out(issue_layout) without `rows`, in step with the
        rows that come of it.
    o_phase_done: Out, pulse with the last tile read of a phase.
    i_drained: In, a bit for each Target, pulse: a drain job of the target has ended.
    active, waiting_tile, waiting_drain : one tile read in this cycle; what a step offered at i_step
        waits for.
    active_command : while `active`, index of the step's command.

    Latency: START_TO_ISSUE cycles from a transfer at i_step to the first o_issue.
    """

    START_TO_ISSUE = 1 + TileBuffer.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_step": In(stream.Signature(array_step_layout(config))),
                "i_tile_done": In(config.ports),
                "o_tile_free": Out(1),
                "o_tile": Out(tile_read_layout(config)),
                "o_issue": Out(issue_layout(config)),
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
        offered = self.i_step.payload
        revisit = LaneLatency.of(config).revisit
        longest = max(config.step_cycles, revisit)

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

        step = Signal(array_step_layout(config))
        left = Signal(range(config.step_cycles + 1))  # tile reads
        rest = Signal(range(longest + 1))  # cycles before the next start may take effect
        swap = Signal()
        slot = Signal()
        next_slot = Signal()
        ends = Signal()
        m.d.comb += [
            self.active.eq(left != 0),
            self.active_command.eq(step.command),
            ends.eq(left == 1),
            self.o_tile_free.eq(ends & step.tile_last),
            self.o_phase_done.eq(ends & step.phase_last),
        ]

        undrained = []
        for target, shrinks in zip(Target, self.i_drained, strict=True):
            pending = Signal(2, name=f"undrained_{target.name.lower()}")
            grows = self.o_phase_done & (step.target == target)
            with m.If(grows & ~shrinks):
                m.d.sync += pending.eq(pending + 1)
            with m.Elif(shrinks & ~grows):
                m.d.sync += pending.eq(pending - 1)
            undrained.append(pending != 0)

        undrained_of = Array([*undrained, 0])
        # Two OUTPUT phases may follow each other: the first one is not yet counted while its last
        # step runs.
        ending = self.active & step.phase_last & (step.target == offered.target)
        m.d.comb += [
            self.waiting_tile.eq(self.i_step.valid & ~Cat(*filled).all()),
            self.waiting_drain.eq(
                self.i_step.valid
                & offered.phase_first
                & (undrained_of[offered.target.as_value()] | ending)
            ),
            self.i_step.ready.eq((rest <= 1) & Cat(*filled).all() & ~self.waiting_drain),
            start.eq(self.i_step.valid & self.i_step.ready),
        ]
        with m.If(start):
            m.d.sync += [
                step.eq(offered),
                left.eq(offered.cycles),
                rest.eq(Mux(offered.cycles > revisit, offered.cycles, revisit)),
                swap.eq(1),
                slot.eq(next_slot),
                next_slot.eq(next_slot ^ offered.tile_last),
            ]
        with m.Else():
            m.d.sync += [
                step.index.eq(step.index + 1),
                step.address.eq(step.address + 1),
                left.eq(left - self.active),
                rest.eq(rest - (rest != 0)),
                swap.eq(0),
            ]

        m.d.comb += [
            self.o_tile.slot.eq(slot),
            self.o_tile.by_column.eq(step.by_column),
            self.o_tile.index.eq(step.index),
        ]
        cycles = TileBuffer.LATENCY
        for name in ("target", "address", "first", "rescale", "bank", "group"):
            m.d.comb += getattr(self.o_issue, name).eq(
                delayed(m, getattr(step, name), cycles, name)
            )
        strobes = delayed(m, Cat(self.active, swap), cycles, "strobes", reset_less=False)
        m.d.comb += [self.o_issue.valid.eq(strobes[0]), self.o_issue.swap.eq(strobes[1])]
        return m
