# SPDX-License-Identifier: Apache-2.0
"""Rounded maxima of rows against numerics, at the declared latency, with gaps between words."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.vector.vector_bench import pack, small_config
from hw_tests.seeds import salted
from hw_tests.streams import Sink, simulate
from meadow.spec.numerics import block_maximum
from rtl_gen.baseline.row_maximum import RowMaximum


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("send", [1.0, 0.5])
def test_maxima_of_rows(width: int, send: float) -> None:
    rng = random.Random(salted(5))
    dut = RowMaximum(config=small_config(width))
    half = width // 2
    expected: dict[int, tuple[int, int]] = {}
    sink = Sink(dut.o)

    async def process(ctx):
        cycle = 0

        async def tick():
            nonlocal cycle
            await ctx.tick()
            cycle += 1

        for row in range(24):
            words = rng.choice([1, 2, 4, 8])
            keys = rng.randrange(1, words * half + 1)
            low = rng.choice([-32768, -300, 32000])
            scores = [rng.randrange(low, min(32767, low + 600) + 1) for _ in range(words * half)]
            if row % 4 == 0:
                scores = [-32768] * len(scores)
            maximum = block_maximum(max(scores[:keys]))
            scores[keys:] = [32767] * (len(scores) - keys)
            for k in range(words):
                while rng.random() >= send:
                    ctx.set(dut.i.valid, 0)
                    await tick()
                last = k == words - 1
                data = pack(scores[k * half : (k + 1) * half], 16)
                ctx.set(dut.i.valid, 1)
                ctx.set(dut.i.payload, {"first": k == 0, "last": last, "data": data})
                ctx.set(dut.i_keys.valid, 1)
                ctx.set(dut.i_keys.payload, keys)
                assert ctx.get(dut.i_keys.ready) == last
                if last:
                    expected[cycle + dut.latency] = (maximum, keys)
                await tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(dut.latency + 2):
            await tick()

    simulate(dut, process, background=[sink.run])
    maxima = [(payload.maximum, payload.keys) for payload in sink.received]
    assert len(expected) == 24
    assert dict(zip(sink.cycles, maxima, strict=True)) == expected
