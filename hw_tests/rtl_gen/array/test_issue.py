# SPDX-License-Identifier: Apache-2.0
"""Issue: what a tile operation waits for, its latency, and the length of one below the revisit
distance.
"""

from __future__ import annotations

from hw_tests.rtl_gen.fields import nested
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.array.issue import Issue
from rtl_gen.interfaces.lane import Target
from rtl_gen.interfaces.schedule import tile_op_layout
from rtl_gen.lane.latency import LaneLatency

_CONFIG = CONFIGURATIONS["small"]
_LAYOUT = tile_op_layout(_CONFIG)


def test_tile_operations_wait_for_tile_and_drain_and_keep_their_distance() -> None:
    dut = Issue(config=_CONFIG)
    revisit = LaneLatency.of(_CONFIG).revisit
    starts, issues, swaps, frees, phases = [], [], [], [], []
    ops = [
        dict(cycles=16, phase_first=1, target=Target.BUFFER0, address=32),
        dict(cycles=2, phase_last=1, tile_last=1, target=Target.BUFFER0, address=64),
        dict(cycles=16, phase_first=1, phase_last=1, tile_last=1, target=Target.BUFFER0),
    ]
    tile_done = {10: (0,), 14: (1,), 20: (0, 1)}
    drained = 60

    async def bench(ctx) -> None:
        queue = list(ops)
        for now in range(100):
            for port in range(2):
                ctx.set(dut.i_tile_done[port], port in tile_done.get(now, ()))
            ctx.set(dut.i_drained[0], now == drained)
            ctx.set(dut.i_op.valid, bool(queue))
            if queue:
                ctx.set(dut.i_op.payload, nested(_LAYOUT, queue[0]))
            taken = bool(queue) and ctx.get(dut.i_op.ready)
            assert ctx.get(dut.waiting_tile) == (now <= 14)
            if ctx.get(dut.o_issue.valid):
                address = ctx.get(dut.o_issue.payload.address)
                issues.append((now, address))
            if ctx.get(dut.o_swap):
                swaps.append(now)
            if ctx.get(dut.o_tile_free):
                frees.append(now)
            if ctx.get(dut.o_phase_done):
                phases.append(now)
            await ctx.tick()
            if taken:
                queue.pop(0)
                starts.append(now)

    simulate(dut, bench)
    assert starts == [15, 31, drained + 1] and drained > 31 + revisit
    first = [start + Issue.START_TO_ISSUE for start in starts]
    assert swaps == [start + Issue.START_TO_SWAP for start in starts]
    assert issues == [
        (start + cycle, op.get("address", 0) + cycle)
        for start, op in zip(first, ops, strict=True)
        for cycle in range(op["cycles"])
    ]
    assert frees == phases == [31 + 2, drained + 1 + 16]


def test_a_short_tile_operation_is_as_long_as_the_revisit_distance() -> None:
    dut = Issue(config=_CONFIG)
    starts = []

    async def bench(ctx) -> None:
        ctx.set(dut.i_tile_done[0], 1)
        ctx.set(dut.i_tile_done[1], 1)
        await ctx.tick()
        ctx.set(dut.i_tile_done[0], 0)
        ctx.set(dut.i_tile_done[1], 0)
        ctx.set(dut.i_op.valid, 1)
        ctx.set(dut.i_op.payload, {"cycles": 1})
        for now in range(20):
            if ctx.get(dut.i_op.ready):
                starts.append(now)
            await ctx.tick()

    simulate(dut, bench)
    distances = {after - before for before, after in zip(starts, starts[1:], strict=False)}
    assert distances == {LaneLatency.of(_CONFIG).revisit}


def test_phases_of_one_target_wait_for_each_other_from_the_first_cycle() -> None:
    """The second phase is offered while the last tile operation of the first one still runs."""
    dut = Issue(config=_CONFIG)
    starts = []
    phase = dict(cycles=16, phase_first=1, phase_last=1, tile_last=1, target=Target.OUTPUT)

    async def bench(ctx) -> None:
        for port in range(2):
            ctx.set(dut.i_tile_done[port], 1)
        await ctx.tick().repeat(2)
        for port in range(2):
            ctx.set(dut.i_tile_done[port], 0)
        ctx.set(dut.i_op.valid, 1)
        ctx.set(dut.i_op.payload, nested(_LAYOUT, phase))
        for now in range(60):
            ctx.set(dut.i_drained[2], now == 50)
            if ctx.get(dut.i_op.ready):
                starts.append(now)
            await ctx.tick()

    simulate(dut, bench)
    assert starts == [0, 51]
