# SPDX-License-Identifier: Apache-2.0
"""Activation table: every entry, loading with stalls and overwriting, latency, what busy
promises.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.writer.writer_bench import join, small_config, split
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.numerics import TABLE_ENTRIES, table_index
from rtl_gen.writer.activation_table import ActivationTable


class _Bench:
    def __init__(self, width: int, rng: random.Random) -> None:
        self.width, self.rng = width, rng
        self.dut = ActivationTable(config=small_config(width, 1))

    async def load(self, ctx, table: list[int], words: list[int], stall: float) -> int:
        """Write words of the table; cycles from the first offer to the last transfer."""
        source = self.dut.i_write
        cycles = 0
        for address in words:
            while self.rng.random() < stall:
                await ctx.tick()
            ctx.set(source.valid, 1)
            ctx.set(source.payload.address, address)
            entries = self.width // 2
            ctx.set(source.payload.data, join(table[address * entries :][:entries]))
            transferred = False
            while not transferred:
                transferred = bool(ctx.get(source.ready))
                assert ctx.get(self.dut.busy)
                await ctx.tick()
                cycles += 1
            ctx.set(source.valid, 0)
            ctx.set(source.payload.data, 0)
        return cycles

    async def settle(self, ctx) -> None:
        for _ in range(self.width):
            if not ctx.get(self.dut.busy):
                return
            await ctx.tick()
        raise AssertionError("busy stays")

    async def look_up(self, ctx, values: list[int]) -> list[int]:
        """Look-ups of W/2 values per cycle."""
        lanes = self.width // 2
        results: list[int] = []
        groups = [values[i : i + lanes] for i in range(0, len(values), lanes)]
        for cycle in range(len(groups) + self.dut.LATENCY):
            if cycle >= self.dut.LATENCY:
                word = ctx.get(self.dut.o)
                results += split(word, 16, lanes)
            ctx.set(self.dut.i_data, join(groups[cycle], 16) if cycle < len(groups) else 0)
            await ctx.tick()
        return results[: len(values)]


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("stall", [0.0, 0.9])
def test_every_entry(width: int, stall: float) -> None:
    rng = random.Random(salted(width))
    bench = _Bench(width, rng)
    first, second = (rng.sample(range(-32768, 32768), TABLE_ENTRIES) for _ in range(2))
    first[:2], first[-2:] = (-32768, 32767), (32767, -32768)
    # Both ends of every entry's range, every entry in every copy in the course of things.
    values = [value for edge in range(-32768, 32768, 32) for value in (edge, edge + 31)]
    rng.shuffle(values)
    count = 2 * TABLE_ENTRIES // width

    async def process(ctx):
        assert not ctx.get(bench.dut.busy)
        cycles = await bench.load(ctx, first, list(range(count)), stall)
        if not stall:
            assert cycles == 1 + (count - 1) * (width // 2)
        await bench.settle(ctx)
        results = await bench.look_up(ctx, values)
        assert results == [first[table_index(value)] for value in values]
        # Some words again, in another order, the others stay.
        words = rng.sample(range(count), count // 2)
        await bench.load(ctx, second, words, stall)
        await bench.settle(ctx)
        mixed = [(second if 2 * i // width in words else first)[i] for i in range(TABLE_ENTRIES)]
        results = await bench.look_up(ctx, values)
        assert results == [mixed[table_index(value)] for value in values]

    simulate(bench.dut, process)


@pytest.mark.parametrize("width", [16, 64])
def test_every_copy_sees_a_word_when_busy_falls(width: int) -> None:
    rng = random.Random(salted(width))
    bench = _Bench(width, rng)
    table = [rng.choice([-1, 1]) * rng.randrange(1, 32768) for _ in range(TABLE_ENTRIES)]

    async def process(ctx):
        for address in rng.sample(range(2 * TABLE_ENTRIES // width), 8):
            await bench.load(ctx, table, [address], 0.0)
            await bench.settle(ctx)
            # The last entry of the word is the last one written.
            entry = address * width // 2 + width // 2 - 1
            value = (entry << 5) - 32768 + rng.randrange(32)
            assert await bench.look_up(ctx, [value] * (width // 2)) == [table[entry]] * (width // 2)

    simulate(bench.dut, process)
