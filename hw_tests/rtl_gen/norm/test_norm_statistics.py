# SPDX-License-Identifier: Apache-2.0
"""Sums of rows of several lengths with gaps between words, at the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import Sink, simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.norm.norm_statistics import NormStatistics


@pytest.mark.parametrize("name", ["tiny", "small"])
@pytest.mark.parametrize("send", [1.0, 0.5])
def test_sums_of_rows(name: str, send: float) -> None:
    config = CONFIGURATIONS[name]
    rng = random.Random(salted(21))
    dut = NormStatistics(config=config)
    elements = config.width // 2
    expected: dict[int, tuple[int, int]] = {}
    sink = Sink(dut.o)

    async def process(ctx):
        cycle = 0

        async def tick():
            nonlocal cycle
            await ctx.tick()
            cycle += 1

        longest = config.norm_channels // elements
        for words in (1, 2, 1, 5, longest):
            row: list[int] = []
            for k in range(words):
                while rng.random() >= send:
                    ctx.set(dut.i.valid, 0)
                    await tick()
                values = [rng.choice([-32768, rng.randrange(-32768, 32768)])] * elements
                if words == longest:
                    values = [-32768] * elements
                row += values
                data = sum((x & 0xFFFF) << (16 * i) for i, x in enumerate(values))
                ctx.set(dut.i.valid, 1)
                ctx.set(dut.i.payload, {"first": k == 0, "last": k == words - 1, "data": data})
                if k == words - 1:
                    expected[cycle + dut.latency] = (sum(row), sum(x * x for x in row))
                await tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(dut.latency + 2):
            await tick()

    simulate(dut, process, background=[sink.run])
    sums = [(payload.total, payload.squares) for payload in sink.received]
    assert len(expected) == 5
    assert dict(zip(sink.cycles, sums, strict=True)) == expected
