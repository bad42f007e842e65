# SPDX-License-Identifier: Apache-2.0
"""Mean, factor and shift of rows against numerics, at the declared latency, one row per cycle."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.numerics import requantise, rsqrt, saturate
from rtl_gen.norm.norm_scale import MEAN_BITS, NormScale


@pytest.mark.parametrize("name", ["tiny", "zcu102"])
@pytest.mark.parametrize("rms", [0, 1])
@pytest.mark.parametrize(
    ("norm_shift", "mean_shift", "epsilon"), [(-128, 1, 1), (3, 20, 1 << 59), (127, 47, 99)]
)
def test_scales_of_rows(
    name: str, rms: int, norm_shift: int, mean_shift: int, epsilon: int
) -> None:
    config = CONFIGURATIONS[name]
    rng = random.Random(salted(31 + rms))
    dut = NormScale(config=config)
    channels = config.norm_channels - 3
    multiplier = rng.getrandbits(16)
    rows = [[-32768] * channels, [32767] * channels, [0] * channels]
    rows += [[rng.randrange(-9, 9)] * (channels - 1) + [rng.randrange(99)] for _ in range(5)]
    expected, outputs = [], []
    for row in rows:
        total = 0 if rms else sum(row)
        value = channels * sum(x * x for x in row) - total * total + epsilon
        root, half = rsqrt(value)
        mean = saturate(requantise(total, multiplier, mean_shift, 32), MEAN_BITS)
        expected.append((mean, root, max(1, min(47, norm_shift + half))))

    async def process(ctx):
        ctx.set(dut.command.channels, channels)
        ctx.set(dut.command.epsilon, epsilon)
        ctx.set(dut.command.mean_multiplier, multiplier)
        ctx.set(dut.command.mean_shift, mean_shift)
        ctx.set(dut.command.norm_shift, norm_shift)
        ctx.set(dut.command.rms, rms)
        await ctx.tick().repeat(2)
        for cycle in range(len(rows) + dut.LATENCY + 3):
            row = rows[min(cycle, len(rows) - 1)]
            ctx.set(dut.i.valid, cycle < len(rows))
            ctx.set(dut.i.payload.total, sum(row))
            ctx.set(dut.i.payload.squares, sum(x * x for x in row))
            due = dut.LATENCY <= cycle < dut.LATENCY + len(rows)
            assert ctx.get(dut.o.valid) == due
            if due:
                payload = dut.o.payload
                outputs.append(tuple(ctx.get(payload[name]) for name in ("mean", "root", "shift")))
            await ctx.tick()

    simulate(dut, process)
    assert outputs == expected
