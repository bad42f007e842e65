# SPDX-License-Identifier: Apache-2.0
"""Drain passes: splits a drain job into one pass per group and block, ahead of the drain itself."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.bundles import DrainMode
from rtl_gen.array.schedule_bundles import drain_job_layout, drain_pass_layout

__all__ = ["DrainPasses"]


class DrainPasses(wiring.Component):
    """for g in groups of the job: for b in blocks: pass.

    A job starts when its phase has been issued and, for a MATMUL, its parameters are filled.

    Members
    -------
    i_job : In stream of drain_job_layout.
    i_phase_done : pulse, the accumulators of one more phase may be read.
    i_parameter_done_{p} : pulse, port p has filled its part of the next parameter slot.
    o_pass : Out stream of drain_pass_layout.

    Throughput: a pass in 2 cycles, 1 more for a job.
    Latency: LATENCY cycles at least from i_phase_done to o_pass.
    """

    LATENCY = 3

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(drain_job_layout(config))),
                "i_phase_done": In(1),
                **{f"i_parameter_done_{port}": In(1) for port in range(config.ports)},
                "o_pass": Out(stream.Signature(drain_pass_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        lanes = config.lanes
        lane_bits, step_bits = (lanes - 1).bit_length(), (config.step_cycles - 1).bit_length()
        job = Signal(drain_job_layout(config))
        start, parameters_used = Signal(), Signal()
        offered_matmul, matmul = Signal(), Signal()
        for value, source in ((offered_matmul, self.i_job.payload), (matmul, job)):
            m.d.comb += value.eq(
                (source.mode != DrainMode.SCORE) & (source.mode != DrainMode.OUTPUT)
            )
        m.d.comb += parameters_used.eq(start & offered_matmul)

        phases = _count(m, self.i_phase_done, start, "phases")
        filled = [
            _count(m, getattr(self, f"i_parameter_done_{port}"), parameters_used, f"filled_{port}")
            for port in range(config.ports)
        ]
        parameters_ready = Cat(*(count != 0 for count in filled)).all()

        group = Signal(job.group.shape())
        last_group = Signal(group.shape())
        block = Signal(job.blocks.shape())
        block_base = Signal(
            range(config.max_head_dim // config.width * config.groups + config.groups + 1)
        )
        address, row = Signal(20), Signal(16)
        limit = Signal(signed(24))
        low, high = Signal(range(lanes + 1)), Signal(range(lanes + 1))
        slot, next_slot = Signal(), Signal()
        blocks_end, groups_end = Signal(), Signal()
        m.d.comb += [
            blocks_end.eq(block == job.blocks - 1),
            groups_end.eq(group == last_group),
        ]

        out = self.o_pass.payload
        for name in (
            "mode target result stride mask channel remaining restart bank reset causal "
            "multiplier shift"
        ).split():
            m.d.comb += getattr(out, name).eq(getattr(job, name))
        words = Signal(range(lanes + 1))
        m.d.comb += [
            words.eq(high - low),
            out.group.eq(group),
            out.row.eq(row),
            out.address.eq(address + block),
            out.limit.eq(limit),
            out.accumulator.eq(Cat(Const(0, step_bits), block_base + group)),
            out.lanes_low.eq(low),
            out.lanes_high.eq(high),
            out.slot.eq(slot),
            out.start.eq(block == 0),
            out.last.eq(blocks_end & groups_end),
        ]
        with m.If(job.mode == DrainMode.INT16):
            m.d.comb += out.credits.eq(words << 1)
        with m.Elif(job.mode != DrainMode.SCORE):
            m.d.comb += out.credits.eq(words)

        with m.FSM():
            with m.State("JOB"):
                offered = self.i_job.payload
                m.d.comb += [
                    self.i_job.ready.eq((phases != 0) & (parameters_ready | ~offered_matmul)),
                    start.eq(self.i_job.valid & self.i_job.ready),
                ]
                m.d.sync += [
                    job.eq(offered),
                    group.eq(offered.group),
                    last_group.eq((offered.end - 1) >> lane_bits),
                    address.eq(offered.address),
                    row.eq(Cat(Const(0, lane_bits), offered.group)),
                    limit.eq(offered.limit),
                    block.eq(0),
                    block_base.eq(0),
                ]
                with m.If(start):
                    m.d.sync += slot.eq(next_slot)
                    m.next = "LANES"
                with m.If(parameters_used):
                    m.d.sync += next_slot.eq(~next_slot)
            with m.State("LANES"):
                # Rows of the job in this group; both differences are below 2**16 in size.
                before, after = Signal(signed(17)), Signal(17)
                m.d.comb += [before.eq(job.row - row), after.eq(job.end - row)]
                m.d.sync += [
                    low.eq(Mux(before < 0, 0, before)),
                    high.eq(Mux(after > lanes, lanes, after)),
                ]
                m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += self.o_pass.valid.eq(1)
                with m.If(self.o_pass.ready):
                    m.d.sync += [block.eq(block + 1), block_base.eq(block_base + config.groups)]
                    with m.If(blocks_end):
                        m.d.sync += [
                            block.eq(0),
                            block_base.eq(0),
                            group.eq(group + 1),
                            address.eq(address + Cat(Const(0, lane_bits), job.stride)),
                            row.eq(row + lanes),
                        ]
                        with m.If(job.causal):
                            m.d.sync += limit.eq(limit + lanes)
                        m.next = "LANES"
                        with m.If(groups_end):
                            m.next = "JOB"
        return m


def _count(m: Module, grows, shrinks, name: str) -> Signal:
    """Things that are there and not used; two slots and two buffers keep it below 8."""
    count = Signal(3, name=name)
    with m.If(grows & ~shrinks):
        m.d.sync += count.eq(count + 1)
    with m.Elif(shrinks & ~grows):
        m.d.sync += count.eq(count - 1)
    return count
