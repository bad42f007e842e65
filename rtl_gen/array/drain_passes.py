# SPDX-License-Identifier: Apache-2.0
"""Drain passes: splits a drain job into one pass per group and block, ahead of the drain itself."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.epilogue import drain_modes_with, is_one_of
from rtl_gen.interfaces.lane import DrainMode
from rtl_gen.interfaces.memory import ADDRESS_BITS
from rtl_gen.interfaces.schedule import drain_job_layout, drain_pass_layout
from rtl_gen.lane.lane_tokens import divided_by_heads

__all__ = ["DrainPasses"]


class DrainPasses(wiring.Component):
    """for g in groups of the job: for b in blocks: pass.

    A job starts when its phase has been issued and, for a MATMUL, its parameters are filled. With
    TG = T div heads, a group with n tokens left uses the lanes below min(TG, n) * heads; the next
    one starts TG tokens further.

    Members
    -------
    i_job: In stream of drain_job_layout.
    i_phase_done: In, pulse: the accumulators of one more phase may be read.
    i_parameter_done: In, a bit for each port, pulse: the port has filled its part of the next
        parameter slot.
    o_pass: Out stream of drain_pass_layout.

    Throughput: a pass in 2 cycles, 2 more for a job.
    Latency: LATENCY cycles at least from i_phase_done to o_pass.
    """

    LATENCY = 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(drain_job_layout(config))),
                "i_phase_done": In(1),
                "i_parameter_done": In(config.ports),
                "o_pass": Out(stream.Signature(drain_pass_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        cycle_bits = (config.tile_cycles - 1).bit_length()
        job = Signal(drain_job_layout(config), reset_less=True)
        offered = self.i_job.payload
        start = Signal()
        parameters_used = Signal()
        offered_matmul = Signal()
        m.d.comb += [
            offered_matmul.eq(
                is_one_of(offered.task.mode, drain_modes_with(lambda drain: drain.parameters))
            ),
            parameters_used.eq(start & offered_matmul),
        ]

        phases = _count(m, self.i_phase_done, start, "phases")
        filled = [
            _count(m, done, parameters_used, f"filled_{port}")
            for port, done in enumerate(self.i_parameter_done)
        ]
        parameters_ready = Cat(*(count != 0 for count in filled)).all()

        task, destination, walk = job.task, job.destination, job.destination.walk
        group = Signal(task.group.shape(), reset_less=True)
        block = Signal(job.blocks.shape(), reset_less=True)
        block_base = Signal(
            range(config.max_head_dim // config.width * config.groups + config.groups + 1),
            reset_less=True,
        )
        address = Signal(ADDRESS_BITS, reset_less=True)
        operand = Signal(ADDRESS_BITS, reset_less=True)
        row = Signal(16, reset_less=True)
        limit = Signal(signed(24), reset_less=True)
        group_tokens, tokens, high = (
            Signal(range(config.lanes + 1), name=name, reset_less=True)
            for name in ("group_tokens", "tokens", "high")
        )
        after = Signal(signed(17), reset_less=True)  # tokens in later groups
        slot = Signal(reset_less=True)
        next_slot = Signal()
        blocks_end = Signal()
        groups_end = Signal(reset_less=True)
        m.d.comb += blocks_end.eq(block == job.blocks - 1)
        address_pitch = self._product(m, group_tokens, walk.stride, "address_pitch")
        operand_pitch = self._product(m, group_tokens, destination.operand_stride, "operand_pitch")
        offered_walk = offered.destination.walk
        whole = divided_by_heads(m, config.lanes, offered_walk.heads, config=config, name="whole")

        out = self.o_pass.payload
        m.d.comb += [
            out.task.eq(task),
            out.task.group.eq(group),
            out.task.limit.eq(limit),
            out.destination.eq(destination),
            out.destination.row.eq(row),
            out.destination.walk.base.eq(address + block),
            out.destination.operand.eq(operand),
            out.operand_second.eq(job.operand_second),
            out.remaining.eq(job.remaining),
            out.scale.eq(job.scale),
            out.accumulator.eq(Cat(Const(0, cycle_bits), block_base + group)),
            out.lanes.eq(high),
            out.slot.eq(slot),
            out.start.eq(block == 0),
            out.last.eq(blocks_end & groups_end),
        ]
        with m.If(is_one_of(task.mode, drain_modes_with(lambda drain: drain.wide))):
            m.d.comb += out.credits.eq(high << 1)
        with m.Elif(task.mode != DrainMode.SCORE):
            m.d.comb += out.credits.eq(high)

        def take_group(left: Value) -> list:
            """The next group takes what it can of the tokens that are left."""
            return [
                tokens.eq(Mux(left >= group_tokens, group_tokens, left)),
                after.eq(left - group_tokens),
                groups_end.eq(left <= group_tokens),
            ]

        with m.FSM():
            with m.State("JOB"):
                m.d.comb += [
                    self.i_job.ready.eq((phases != 0) & (parameters_ready | ~offered_matmul)),
                    start.eq(self.i_job.valid & self.i_job.ready),
                ]
                m.d.sync += [
                    job.eq(offered),
                    group_tokens.eq(whole),
                    group.eq(offered.task.group),
                    address.eq(offered_walk.base),
                    operand.eq(offered.destination.operand),
                    row.eq(offered.destination.row),
                    limit.eq(offered.task.limit),
                    block.eq(0),
                    block_base.eq(0),
                ]
                with m.If(start):
                    m.d.sync += slot.eq(next_slot)
                    m.next = "TOKENS"
                with m.If(parameters_used):
                    m.d.sync += next_slot.eq(~next_slot)
            with m.State("TOKENS"):
                m.d.sync += take_group(job.tokens)
                m.next = "LANES"
            with m.State("LANES"):
                m.d.sync += high.eq(tokens * walk.heads)
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
                            address.eq(address + address_pitch),
                            operand.eq(operand + operand_pitch),
                            row.eq(row + group_tokens),
                            *take_group(after),
                        ]
                        with m.If(task.causal):
                            m.d.sync += limit.eq(limit + group_tokens)
                        m.next = "LANES"
                        with m.If(groups_end):
                            m.next = "JOB"
        return m

    @staticmethod
    def _product(m: Module, tokens: Signal, stride: Value, name: str) -> Signal:
        """tokens * stride, two registers behind them: there before the first pass of a job ends."""
        middle, product = (
            Signal(ADDRESS_BITS, name=f"{name}_middle", reset_less=True),
            Signal(ADDRESS_BITS, name=name, reset_less=True),
        )
        m.d.sync += [middle.eq(tokens * stride), product.eq(middle)]
        return product


def _count(m: Module, grows, shrinks, name: str) -> Signal:
    """Things that are there and not used; two slots and two buffers keep it below 8."""
    count = Signal(3, name=name)
    with m.If(grows & ~shrinks):
        m.d.sync += count.eq(count + 1)
    with m.Elif(shrinks & ~grows):
        m.d.sync += count.eq(count - 1)
    return count
