# SPDX-License-Identifier: Apache-2.0
"""The dictionary unpacker against look-ups in Python."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.decoder.unpacker_bench import UnpackerBench
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.decoder.dictionary import DictionaryUnpacker
from rtl_gen.decoder.weight_block import ROW_ENTRIES


class Bench(UnpackerBench):
    """Writes tables and sends blocks; collects parts and errors by cycle."""

    def __init__(self, config: AcceleratorConfig, rng: random.Random, *, gap: float) -> None:
        super().__init__(DictionaryUnpacker(config=config))
        self.rng, self.gap = rng, gap
        self.expected: list[tuple[int, int]] = []
        self.expected_errors: list[int] = []

    async def load(self, ctx, chunk: int, entries: int) -> list[bytes]:
        """A random table; what the reader does not fill of its last row is random."""
        dut, rng = self.dut, self.rng
        ctx.set(dut.chunk2, chunk == 2)
        ctx.set(dut.entries, entries)
        table = [rng.randbytes(chunk) for _ in range(entries)]
        for row in range((entries + ROW_ENTRIES - 1) // ROW_ENTRIES):
            content = rng.getrandbits(64)
            for place, entry in enumerate(table[ROW_ENTRIES * row :][:ROW_ENTRIES]):
                mask = (1 << 8 * chunk) - 1 << 16 * place
                content = content & ~mask | int.from_bytes(entry, "little") << 16 * place
            ctx.set(dut.table.valid, 1)
            ctx.set(dut.table.payload, {"row": row, "data": content})
            await self.tick(ctx)
        ctx.set(dut.table.valid, 0)
        return table

    async def blocks(self, ctx, table: list[bytes], widths: list[int], count: int) -> None:
        """Blocks of packets of these widths; an index that is not in the table once in a while, if
        it can be.
        """
        dut, rng = self.dut, self.rng
        chunk = len(table[0])
        for _ in range(count):
            idle = {"widths": [rng.randrange(9)] * 4, "data": rng.getrandbits(416)}
            while rng.random() < self.gap:
                ctx.set(dut.block.payload, idle)
                await self.tick(ctx)
            mode_word = rng.randrange(2)
            size = 32 * mode_word
            content = rng.getrandbits(32) if mode_word else 0
            used, weights, bad = [], b"", False
            for _ in range(4 // chunk):
                width = rng.choice(widths)
                used.append(width)
                below = min(len(table), 1 << width)
                extremes = [0, below - 1]
                for _ in range(8):
                    index = rng.choice([*extremes, rng.randrange(below)])
                    if len(table) < 1 << width and rng.random() < 0.003:
                        index = rng.choice([len(table), (1 << width) - 1])
                        bad = True
                    content |= index << size
                    size += width
                    weights += table[index] if index < len(table) else bytes(chunk)
            content |= rng.getrandbits(416 - size) << size
            if bad:
                self.expected_errors.append(self.cycle + dut.bad_latency)
            part = None if bad else int.from_bytes(weights, "little")
            self.expected.append((self.cycle + dut.latency, part))
            block = {"mode_word": mode_word, "data": content}
            block["widths"] = [*used, *[0] * (4 - len(used))]
            block |= {"half": rng.randrange(2), "refill": rng.getrandbits(4)}
            ctx.set(dut.block.valid, 1)
            ctx.set(dut.block.payload, block)
            await self.tick(ctx)
            ctx.set(dut.block.valid, 0)
            ctx.set(dut.block.payload, idle)

    async def drain(self, ctx) -> None:
        for _ in range(self.dut.latency + 2):
            await self.tick(ctx)

    def run(self, program) -> None:
        simulate(self.dut, program)
        assert self.errors == self.expected_errors
        assert len(self.parts) == len(self.expected)
        for (cycle, part), (due, weights) in zip(self.parts, self.expected, strict=True):
            assert cycle == due
            assert weights is None or part == weights


@pytest.mark.parametrize("gap", [0.0, 0.5])
@pytest.mark.parametrize("name", ["tiny", "zcu102-paper"])
def test_streams(name: str, gap: float) -> None:
    """Tables of all sizes, one after the other, packets of every width, some indices outside of the
    table.
    """
    config = CONFIGURATIONS[name]
    print(f"config={name} gap={gap}")
    bench = Bench(config, random.Random(salted(11)), gap=gap)
    most = config.dictionary_entries
    streams = [
        (1, 256, [0, 3, 5, 8]),
        (2, most, [1, 6, 9, (most - 1).bit_length()]),
        (1, 1, [0]),
        (2, 1, [0]),
        (1, 131, [7, 8]),
        (2, 70, [4, 7, 12]),
        (1, 256, [1, 2, 4, 6, 7]),
        (2, min(most, 1030), [0, 2, 3, 5, 8, 11, 10, 7]),
    ]

    async def program(ctx):
        for chunk, entries, widths in streams:
            table = await bench.load(ctx, chunk, entries)
            await bench.blocks(ctx, table, widths, 60)
            await bench.drain(ctx)

    bench.run(program)
    assert bench.expected_errors


@pytest.mark.parametrize("chunk", [1, 2])
def test_full_rate(chunk: int) -> None:
    """A block of 32 weights per cycle, the first in the cycle after the table."""
    bench = Bench(CONFIGURATIONS["tiny"], random.Random(salted(chunk)), gap=0.0)

    async def program(ctx):
        table = await bench.load(ctx, chunk, 256)
        before = bench.cycle
        await bench.blocks(ctx, table, [8], 50)
        assert bench.cycle == before + 50
        await bench.drain(ctx)

    bench.run(program)
    assert not bench.expected_errors
