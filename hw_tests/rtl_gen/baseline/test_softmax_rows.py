# SPDX-License-Identifier: Apache-2.0
"""Addresses, words and keys of the rows of SOFTMAX commands."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.vector.vector_bench import small_config
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.baseline.softmax_rows import SoftmaxRows


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("take", [1.0, 0.5])
def test_rows(lanes: int, take: float) -> None:
    rng = random.Random(salted(lanes))
    dut = SoftmaxRows(config=small_config(16, lanes=lanes))
    commands = [(0, 7, 0), (1, 16, 1), (9, 12, 1), (8, 33, 0), (13, 1, 1), (4, 61, 1)]

    async def process(ctx):
        for rows, keys, causal in commands:
            expected = []
            for row in range(rows):
                last = min(rows, (row // lanes + 1) * lanes) - 1
                words = 2 * -(-(keys + causal * last) // 16)
                expected.append((100 + 11 * row + 1, words, keys + causal * row))
            for name, value in {
                "source": 100,
                "source_stride": 11,
                "rows": rows,
                "keys": keys,
                "causal": causal,
            }.items():
                ctx.set(dut.command[name], value)
            await ctx.tick()
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            seen = []
            cycles = 1
            while len(seen) < rows and cycles < 200:
                ctx.set(dut.o.ready, rng.random() < take)
                if ctx.get(dut.o.valid & dut.o.ready):
                    row = dut.o.payload
                    seen.append(tuple(ctx.get(row[n]) for n in ("address", "words", "keys")))
                    if take == 1.0 and len(seen) == 1:
                        assert cycles == dut.LATENCY
                await ctx.tick()
                cycles += 1
            if take == 1.0 and rows:
                assert cycles == dut.LATENCY + rows + 2 * ((rows - 1) // lanes)
            assert seen == expected
            assert not ctx.get(dut.o.valid)

    simulate(dut, process)
