# SPDX-License-Identifier: Apache-2.0
"""Marks of two sub-streams against counting ones."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.streams import RUN_WEIGHTS
from rtl_gen.decoder.run_ends import RunEnds


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_two_sub_streams(gap: float) -> None:
    """Dense and sparse words of both in random turns; each begins again now and then."""
    seed = 21
    print(f"seed={seed} gap={gap}")
    rng = random.Random(salted(seed))
    dut = RunEnds()
    ones = [0, 0]
    expected: dict[int, dict[str, object]] = {}
    cycles = 1000

    async def bench(ctx):
        for cycle in range(cycles):
            half = rng.randrange(2)
            first = cycle < 2 or rng.random() < 0.02
            if cycle < 2:
                half = cycle
            word = {"half": half, "first": first, "data": rng.getrandbits(32)}
            for _ in range(rng.randrange(3)):
                word["data"] &= rng.getrandbits(32)
            if rng.random() < 0.2:
                word["data"] ^= 0xFFFFFFFF
            valid = cycle < 2 or rng.random() >= gap
            if valid:
                ones[half] = 0 if first else ones[half]
                ends = [{"any": 0} for _ in range(4)]
                for place in range(32):
                    if word["data"] >> place & 1:
                        ones[half] += 1
                        if ones[half] % RUN_WEIGHTS == 0:
                            ends[place // 8] = {"any": 1, "place": place % 8}
                expected[cycle + RunEnds.latency] = word | {"ends": ends}
            ctx.set(dut.word.valid, valid)
            ctx.set(dut.word.payload, word)
            await ctx.tick()
            marked = ctx.get(dut.marked.payload)
            due = expected.get(cycle + 1)
            assert ctx.get(dut.marked.valid) == (due is not None)
            if due is None:
                continue
            for name in ("half", "first", "data"):
                assert marked[name] == due[name]
            for seen, end in zip(marked["ends"], due["ends"], strict=True):
                assert seen["any"] == end["any"]
                assert not end["any"] or seen["place"] == end["place"]

    simulate(dut, bench)
    assert len(expected) > cycles * (1 - gap) * 0.9
