# SPDX-License-Identifier: Apache-2.0
"""The exponential unit against `numerics.probability`."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import named_config
from meadow.spec.numerics import probability
from rtl_gen.softmax.exponent import Exponent

_SEED = 12


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_matches_the_specification_one_value_per_cycle(bits: int) -> None:
    dut = Exponent(config=dataclasses.replace(named_config("tiny"), probability_bits=bits))
    generator = random.Random(salted(_SEED))
    # Every distance at which the result can differ from 0, the extremes, and random pairs.
    cases = [(256 * 3 - distance, 3, 1) for distance in range(0, 256 * (bits + 3))]
    cases += [(-32768, 128, 1), (32767, 128, 1), (-32768, -128, 1), (32767, -128, 0), (0, 0, 0)]
    for _ in range(500):
        maximum = generator.randint(-128, 128)
        score = generator.randint(-32768, min(32767, 256 * maximum))
        cases.append((score, maximum, generator.randint(0, 3) > 0))
    results: list[int] = []

    async def bench(ctx: Any) -> None:
        for score, maximum, visible in cases + [cases[0]] * dut.LATENCY:
            results.append(ctx.get(dut.o_probability))
            ctx.set(dut.i_score, score)
            ctx.set(dut.i_maximum, maximum)
            ctx.set(dut.i_visible, visible)
            await ctx.tick()

    simulate(dut, bench)
    for case, result in zip(cases, results[dut.LATENCY :], strict=True):
        score, maximum, visible = case
        expected = probability(score, maximum, bits) if visible else 0
        assert result == expected, f"{case} of seed {_SEED}"
