# SPDX-License-Identifier: Apache-2.0
"""Drain: latency, credits before a pass, parameters, and finish before an output pass."""

from __future__ import annotations

from amaranth.sim import Simulator

from meadow.spec.config import CONFIGURATIONS
from rtl_gen.array.bundles import DrainMode
from rtl_gen.array.drain import Drain
from rtl_gen.array.latency import LaneLatency
from rtl_gen.vector.bundles import writer_depth

_CONFIG = CONFIGURATIONS["small"]


def _play(passes: list[dict], retired: set[int], cycles: int) -> tuple[list, list, list]:
    """Cycles of: transfers at i_pass; (cycle, parameter shifts) of o_drain; o_finish."""
    dut = Drain(config=_CONFIG)
    starts, drains, finishes = [], [], []

    async def bench(ctx) -> None:
        queue = list(passes)
        answers = [0] * Drain.ACTIVE_TO_DRAIN
        for now in range(cycles):
            ctx.set(dut.i_result_retired, now in retired)
            answers.append(ctx.get(dut.o_parameter_read.position))
            ctx.set(dut.i_parameters[0].shift, answers[-Drain.ACTIVE_TO_DRAIN])
            ctx.set(dut.i_pass.valid, bool(queue))
            if queue:
                ctx.set(dut.i_pass.payload, queue[0])
            if ctx.get(dut.o_drain.valid):
                drains.append((now, ctx.get(dut.o_drain.parameters[0].shift)))
            if ctx.get(dut.o_finish.valid):
                finishes.append(now)
            taken = bool(queue) and ctx.get(dut.i_pass.ready)
            await ctx.tick()
            if taken:
                queue.pop(0)
                starts.append(now)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return starts, drains, finishes


def test_passes_follow_each_other_until_credits_end() -> None:
    words = 2 * _CONFIG.lanes
    whole = writer_depth(_CONFIG) // words
    passes = [dict(mode=DrainMode.INT16, credits=words, last=1)] * (whole + 1)
    step = _CONFIG.step_cycles
    late = 2 * whole * step
    starts, drains, finishes = _play(passes, set(range(late, late + words)), late + 60)
    assert starts == [step * index for index in range(whole)] + [late + words]
    assert drains == [
        (start + Drain.START_TO_DRAIN + position, position)
        for start in starts
        for position in range(step)
    ]
    assert not finishes


def test_output_passes_wait_for_their_finish() -> None:
    latency = LaneLatency.of(_CONFIG)
    first = dict(mode=DrainMode.OUTPUT, start=1, credits=4, shift=9)
    starts, drains, finishes = _play([first, {**first, "start": 0}, first], set(), 300)
    ready = [start + Drain.START_TO_DRAIN for start in starts]
    assert ready[0] == finishes[0] + latency.finish
    assert ready[1] == ready[0] + _CONFIG.step_cycles
    assert ready[2] == finishes[1] + latency.finish
    assert finishes[1] >= ready[0] + latency.finish_reuse
    assert {shift for _, shift in drains} == {9}


def test_score_passes_take_no_credits() -> None:
    passes = [dict(mode=DrainMode.SCORE, multiplier=5, shift=7)] * 12
    starts, drains, _ = _play(passes, set(), 12 * _CONFIG.step_cycles + 20)
    assert starts == [_CONFIG.step_cycles * index for index in range(12)]
    assert {shift for _, shift in drains} == {7}
