# SPDX-License-Identifier: Apache-2.0
"""When the watchdog expires, and when it does not."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.control.watchdog import Watchdog


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 64])
@pytest.mark.parametrize("seed", range(2))
def test_against_a_model(limit: int, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(salted(seed))
    dut = Watchdog()

    async def bench(ctx) -> None:
        ctx.set(dut.limit, limit)
        await ctx.tick()
        quiet = 0
        for _ in range(30):
            active = chance.random() < 0.8
            for _ in range(chance.randrange(2 * limit + 4)):
                progress = chance.random() < 0.3 / (limit + 1)
                ctx.set(dut.enable, active)
                ctx.set(dut.progress, progress)
                await ctx.tick()
                quiet = 0 if progress or not active else quiet + 1
                assert ctx.get(dut.expired) == (limit > 0 and quiet >= limit)

    simulate(dut, bench)


def test_latency() -> None:
    """From the last cycle of progress on."""
    dut = Watchdog()

    async def bench(ctx) -> None:
        ctx.set(dut.limit, 10)
        ctx.set(dut.enable, 1)
        ctx.set(dut.progress, 1)
        await ctx.tick()
        ctx.set(dut.progress, 0)
        cycles = 1
        while not ctx.get(dut.expired):
            await ctx.tick()
            cycles += 1
        assert cycles == 10 + Watchdog.latency

    simulate(dut, bench)
