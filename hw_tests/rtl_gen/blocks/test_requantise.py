# SPDX-License-Identifier: Apache-2.0
"""The requantise unit against `numerics.requantise`, extremes first."""

from __future__ import annotations

import random
from typing import Any

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.numerics import MAX_SHIFT, requantise
from rtl_gen.blocks.requantise import VALUE_BITS, Requantise

_SEED = 11


def _cases() -> list[tuple[int, int, int, int, int]]:
    """(value, multiplier, shift, wide, relu), one per cycle."""
    top = 1 << (VALUE_BITS - 1)
    cases = []
    for value in (-top, -top + 1, -(1 << 31), -129, -128, -1, 0, 1, 127, 128, 1 << 17, top - 1):
        for multiplier in (0, 1, 32768, 65535):
            for shift in (1, 2, 8, 16, 17, 31, 32, MAX_SHIFT):
                cases.append((value, multiplier, shift, (value + shift) & 1, multiplier & 1))
    # Results next to the rounding and saturation edges of both widths.
    for edge in (-32769, -32768, -128, -127, 0, 127, 128, 32767, 32768):
        for offset in (-3, -2, -1, 0, 1, 2):
            for wide in (0, 1):
                for relu in (0, 1):
                    cases.append((4 * edge + offset, 1, 2, wide, relu))
    generator = random.Random(salted(_SEED))
    for _ in range(1500):
        bits = generator.randint(1, VALUE_BITS)
        value = generator.randrange(-(1 << (bits - 1)), 1 << (bits - 1))
        multiplier = generator.randrange(1 << generator.randint(0, 16))
        shift = generator.randint(1, MAX_SHIFT)
        cases.append((value, multiplier, shift, generator.randint(0, 1), generator.randint(0, 1)))
    return cases


def test_matches_the_specification_one_value_per_cycle() -> None:
    dut = Requantise()
    cases = _cases()
    results: list[int] = []

    async def bench(ctx: Any) -> None:
        for case in cases + [cases[0]] * dut.LATENCY:
            results.append(ctx.get(dut.o_value))
            ports = (dut.i_value, dut.i_multiplier, dut.i_shift, dut.i_wide, dut.i_relu)
            for port, value in zip(ports, case, strict=True):
                ctx.set(port, value)
            await ctx.tick()

    simulate(dut, bench)
    for case, result in zip(cases, results[dut.LATENCY :], strict=True):
        value, multiplier, shift, wide, relu = case
        expected = requantise(value, multiplier, shift, 16 if wide else 8)
        expected = max(0, expected) if relu else expected
        assert result == expected, f"{case} of seed {_SEED}"
