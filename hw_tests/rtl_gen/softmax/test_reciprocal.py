# SPDX-License-Identifier: Apache-2.0
"""The reciprocal unit against `numerics.output_scale`."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.numerics import output_scale
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.softmax.reciprocal import Reciprocal

_SEED = 13
_CONFIGS = {
    "tiny": named_config("tiny"),
    "zcu102": named_config("zcu102"),
    "short": dataclasses.replace(named_config("tiny"), probability_bits=4, max_context=16),
    "long": dataclasses.replace(named_config("tiny"), probability_bits=9, max_context=1 << 19),
}


def _cases(config: AcceleratorConfig) -> list[tuple[int, int, int]]:
    bits = sum_bits(config)
    generator = random.Random(salted(_SEED))
    totals = [0, 1, 2, 3, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1]
    totals += [1 << length for length in range(bits)]
    totals += [generator.randrange(1 << generator.randint(1, bits)) for _ in range(60)]
    cases = [(total, 65535, 3) for total in totals]
    for total in totals:
        cases.append((total, generator.randrange(1 << 16), generator.randint(-64, 63)))
    return cases


@pytest.mark.parametrize("name", _CONFIGS)
def test_matches_the_specification_after_its_latency(name: str) -> None:
    config = _CONFIGS[name]
    dut = Reciprocal(config=config)

    async def bench(ctx: Any) -> None:
        previous = None
        for total, multiplier, shift in _cases(config):
            ctx.set(dut.i_valid, 1)
            ctx.set(dut.i_total, total)
            ctx.set(dut.i_multiplier, multiplier)
            ctx.set(dut.i_shift, shift)
            await ctx.tick()
            ctx.set(dut.i_valid, 0)
            ctx.set(dut.i_total, ~total & 0xFF)
            await ctx.tick().repeat(dut.LATENCY - 2)
            if previous is not None:
                assert (ctx.get(dut.o_multiplier), ctx.get(dut.o_shift)) == previous
            await ctx.tick()
            previous = output_scale(total, multiplier, shift)
            result = ctx.get(dut.o_multiplier), ctx.get(dut.o_shift)
            assert result == previous, f"{(total, multiplier, shift)} of seed {_SEED}"

    simulate(dut, bench)


def test_jobs_at_full_rate() -> None:
    """A job may start in the cycle in which the one before it hands over its result."""
    dut = Reciprocal(config=named_config("tiny"))
    totals = [5, 4096, 3, 70000]

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i_multiplier, 40000)
        for number, total in enumerate(totals):
            ctx.set(dut.i_total, total)
            ctx.set(dut.i_valid, 1)
            await ctx.tick()
            ctx.set(dut.i_valid, 0)
            if number:
                expected = output_scale(totals[number - 1], 40000, 0)
                assert (ctx.get(dut.o_multiplier), ctx.get(dut.o_shift)) == expected
            await ctx.tick().repeat(dut.LATENCY - 2)

    simulate(dut, bench)


def test_a_new_job_replaces_the_one_under_way() -> None:
    dut = Reciprocal(config=named_config("tiny"))

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i_multiplier, 40000)
        for start in range(1, dut.LATENCY + 1):
            for total, wait in ((5, start), (777, dut.LATENCY)):
                ctx.set(dut.i_total, total)
                ctx.set(dut.i_valid, 1)
                await ctx.tick()
                ctx.set(dut.i_valid, 0)
                for _ in range(wait - 1):
                    await ctx.tick()
            assert (ctx.get(dut.o_multiplier), ctx.get(dut.o_shift)) == output_scale(777, 40000, 0)

    simulate(dut, bench)
