# SPDX-License-Identifier: Apache-2.0
"""One lane of the norm against the element formula of numerics.layer_norm_row, at the declared
latency.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.numerics import rounding_shift, saturate
from rtl_gen.norm.norm_lane import NormLane


@pytest.mark.parametrize(
    ("offset_shift", "output_shift", "wide_shift"),
    [(0, 1, 32), (16, 32, 1), (7, 15, 13), (16, 9, 9), (16, 32, 32)],
)
def test_elements(offset_shift: int, output_shift: int, wide_shift: int) -> None:
    rng = random.Random(salted(output_shift))
    dut = NormLane()
    limits = [-32768, 32767, 0, -1]
    cases = []
    for _ in range(300):
        x, gain, offset = (rng.choice([*limits, rng.randrange(-32768, 32768)]) for _ in range(3))
        mean = rng.choice([-(1 << 24), (1 << 24) - 1, 16 * x + rng.randrange(-99, 99)])
        cases.append((x, mean, rng.choice([0, 65535, 40000]), rng.randrange(1, 48), gain, offset))
    outputs = []
    wide = []

    async def process(ctx):
        ctx.set(dut.offset_shift, offset_shift)
        ctx.set(dut.out_half, 1 << (output_shift - 1))
        ctx.set(dut.out_shift, output_shift)
        ctx.set(dut.wide_change, (1 << (wide_shift - 1)) - (1 << (output_shift - 1)))
        ctx.set(dut.wide_shift, wide_shift)

        def case(cycle: int) -> tuple[int, ...]:
            return cases[max(0, min(cycle, len(cases) - 1))]

        for cycle in range(len(cases) + dut.LATENCY + 1):
            x, mean, root, *_ = case(cycle)
            ctx.set(dut.x, x)
            ctx.set(dut.mean, mean)
            ctx.set(dut.root, root)
            ctx.set(dut.half, 1 << (case(cycle - dut.HALF_DELAY)[3] - 1))
            ctx.set(dut.shift, case(cycle - dut.SHIFT_DELAY)[3])
            gain, offset = case(cycle - dut.PARAMETER_DELAY)[4:]
            ctx.set(dut.parameters, {"gain": gain, "offset": offset})
            if dut.LATENCY <= cycle < dut.LATENCY + len(cases):
                outputs.append(ctx.get(dut.y))
            if cycle > dut.LATENCY:
                wide.append(ctx.get(dut.wide))
            await ctx.tick()

    simulate(dut, process)
    expected, expected_wide = [], []
    for x, mean, root, shift, gain, offset in cases:
        n = saturate(rounding_shift((16 * x - mean) * root, shift), 16)
        total = n * gain + (offset << offset_shift)
        expected.append(saturate(rounding_shift(total, output_shift), 16))
        expected_wide.append(saturate(rounding_shift(total, wide_shift), 16))
    assert outputs == expected
    assert wide == expected_wide
