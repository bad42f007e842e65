# SPDX-License-Identifier: Apache-2.0
"""The accumulators: updates at the shortest distances, exponents, rescaling, drains, conflicts."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import ACCUMULATOR_BITS, MAX_INPUTS, named_config
from meadow.spec.numerics import LARGEST_EXPONENT, LIMIT_INT8, rounding_shift
from rtl_gen.interfaces.lane import Target
from rtl_gen.lane.accumulator import Accumulator
from rtl_gen.lane.latency import LaneLatency

_SEED = 19


def test_random_updates_and_drains() -> None:
    config = dataclasses.replace(named_config("tiny"), groups=1)
    dut = Accumulator(config=config)
    latency = LaneLatency.of(config)
    assert (latency.accumulate, latency.revisit) == (dut.LATENCY, dut.REVISIT)
    generator = random.Random(salted(_SEED))
    # Largest sums of either kind of operand: probabilities, and 8-bit values with exponents.
    weights = config.width * LIMIT_INT8
    limits = {0: weights * ((1 << config.probability_bits) - 1), LARGEST_EXPONENT: weights << 7}
    model: dict[tuple[Target, int], list[int]] = {}
    shifts: dict[int, int] = {}
    sums: dict[int, list[int]] = {}
    exponents: dict[int, int] = {}
    issues: dict[int, tuple[Target, int, bool]] = {}
    drains: dict[int, tuple[Target, int]] = {}
    expected: dict[int, list[int]] = {}
    touched: dict[tuple[Target, int], int] = {}
    cycle = 2
    for _ in range(60):
        target = generator.choice(list(Target))
        for _ in range(generator.randint(1, 12)):
            key = target, generator.randrange(3)
            cycle = max(cycle + 1, touched.get(key, 0) + latency.revisit)
            first = key not in model or generator.random() < 0.1
            exponent = generator.choice([0, LARGEST_EXPONENT, generator.randrange(8)])
            limit = limits[LARGEST_EXPONENT if exponent else 0]
            add = [generator.choice([limit, -limit, generator.randint(-99, 99)]) for _ in range(2)]
            shift = 0
            if target == Target.OUTPUT:
                shift = generator.choice([0, 1, 2, 7, 8, 35, 36, 63])
            old = [0, 0] if first else [rounding_shift(value, shift) for value in model[key]]
            model[key] = [left + (right << exponent) for left, right in zip(old, add, strict=True)]
            issues[cycle], touched[key] = (*key, first), cycle
            shifts[cycle + dut.LATENCY - 2] = shift
            sums[cycle + dut.LATENCY - 1] = add
            exponents[cycle + dut.LATENCY - 2] = exponent
        # Drain all of this target as soon as allowed, then go on in the cycle after.
        cycle += latency.accumulate - 1
        for key in [key for key in model if key[0] == target]:
            cycle += 1
            drains[cycle] = key
            expected[cycle + 1 + dut.DRAIN_LATENCY] = list(model[key])
        cycle += latency.port - 1
    end = cycle + dut.LATENCY + 4

    async def bench(ctx: Any) -> None:
        for now in range(end):
            # Cycles count at the lane's input; the accumulator sees them one cycle later.
            issue, drain = issues.get(now - 1), drains.get(now - 1)
            ctx.set(dut.i_issue.valid, issue is not None)
            ctx.set(dut.i_drain.valid, drain is not None)
            if issue is not None:
                ctx.set(dut.i_issue.payload.target, issue[0])
                ctx.set(dut.i_issue.payload.address, issue[1])
                ctx.set(dut.i_issue.payload.first, issue[2])
            if drain is not None:
                ctx.set(dut.i_drain.payload.target, drain[0])
                ctx.set(dut.i_drain.payload.address, drain[1])
            ctx.set(dut.i_shift, shifts.get(now, 5))
            ctx.set(dut.i_exponent, exponents.get(now, 3))
            for row, value in enumerate(sums.get(now, [12345, -12345])):
                ctx.set(dut.i_sum[row], value)
            if now in expected:
                found = [ctx.get(dut.o_values[row]) for row in range(2)]
                assert found == expected[now], f"cycle {now}, seed {_SEED}"
            assert not ctx.get(dut.o_conflict), f"cycle {now}, seed {_SEED}"
            await ctx.tick()

    simulate(dut, bench)
    assert len(expected) > 60


@pytest.mark.parametrize("target", Target)
def test_the_most_inputs_of_a_matrix_stay_exact_in_every_target(target: Target) -> None:
    """MAX_INPUTS products of 127 * 127 * 2^7, all of one sign; row 1 has the other one."""
    config = named_config("tiny")
    dut = Accumulator(config=config)
    tiles = MAX_INPUTS // config.width
    tile = config.width * LIMIT_INT8**2
    total = tiles * tile << LARGEST_EXPONENT
    assert total.bit_length() == ACCUMULATOR_BITS - 1

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i_issue.payload.target, target)
        ctx.set(dut.i_drain.payload.target, target)
        ctx.set(dut.i_exponent, LARGEST_EXPONENT)
        ctx.set(dut.i_sum[0], tile)
        ctx.set(dut.i_sum[1], -tile)
        for index in range(tiles):
            ctx.set(dut.i_issue.valid, 1)
            ctx.set(dut.i_issue.payload.first, index == 0)
            await ctx.tick()
            ctx.set(dut.i_issue.valid, 0)
            await ctx.tick().repeat(dut.REVISIT - 1)
        await ctx.tick().repeat(dut.LATENCY)
        ctx.set(dut.i_drain.valid, 1)
        await ctx.tick().repeat(dut.DRAIN_LATENCY)
        assert [ctx.get(value) for value in dut.o_values] == [total, -total]

    simulate(dut, bench)


def test_reports_that_array_and_drain_meet() -> None:
    config = named_config("tiny")
    dut = Accumulator(config=config)

    async def bench(ctx: Any) -> None:
        for target in Target:
            for other in Target:
                ctx.set(dut.i_issue.valid, 1)
                ctx.set(dut.i_issue.payload.target, target)
                ctx.set(dut.i_drain.valid, 1)
                ctx.set(dut.i_drain.payload.target, other)
                await ctx.tick().repeat(dut.LATENCY)
                assert ctx.get(dut.o_conflict) == (target == other)

    simulate(dut, bench)
