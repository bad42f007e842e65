# SPDX-License-Identifier: Apache-2.0
"""Arg-max alone: its latency; and in the writer: forwarding, ties, restarts, stalls."""

from __future__ import annotations

import random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.writer.writer_bench import WriterBench, join, small_config
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.epilogue import ResultMode
from rtl_gen.writer.argmax import ArgMax


@pytest.mark.parametrize("name", ["tiny", "small", "zcu102"])
@pytest.mark.parametrize("early", [1, 0])
def test_latency_of_a_candidate(name: str, early: int) -> None:
    """A read presented `latency` cycles after the word sees it, one cycle earlier does not."""
    dut = ArgMax(config=CONFIGURATIONS[name])

    async def process(ctx):
        word = {"row": 3, "channel": 70, "elements": 2, "restart": 1, "data": 9 << 16 | 4}
        ctx.set(dut.i.payload, word)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(dut.latency - early - 1):
            assert ctx.get(dut.busy)
            await ctx.tick()
        ctx.set(dut.i_row, 3)
        await ctx.tick()
        ctx.set(dut.i_row, 0)
        assert not ctx.get(dut.busy)
        await ctx.tick().repeat(dut.READ_LATENCY - 1)
        expected = (0, 0) if early else (9, 71)
        assert (ctx.get(dut.o.value), ctx.get(dut.o.index)) == expected

    simulate(dut, process)


@pytest.mark.parametrize(("width", "lanes"), [(16, 4), slow(32, 2)])
@pytest.mark.parametrize(("send", "operand"), [(1.0, 0.0), (0.5, 0.6)])
def test_arg_max_of_rows(width: int, lanes: int, send: float, operand: float) -> None:
    seed = 11 + width
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = small_config(width, lanes)
    bench = WriterBench(config, rng)
    expected = [(0, 0)] * config.chunk_tokens
    words = []
    channel = 0
    for slice_index in range(40):
        for row in range(config.chunk_tokens):
            count = rng.choice([0, 1, width // 2, rng.randrange(width // 2 + 1)])
            restart = slice_index in (0, 17)
            # Few distinct values make ties; a row of the minimum alone keeps index 0.
            elements = [
                rng.choice([-32768, -32768, -5, 3, 32767][: 2 + row]) for _ in range(width // 2)
            ]
            words.append(
                {
                    "address": len(words) % 256,
                    "mask": (1 << width // 16) - 1,
                    "mode": ResultMode.LOGITS16,
                    "row": row,
                    "channel": channel,
                    "elements": count,
                    "restart": restart,
                    "data": join(elements),
                }
            )
            best = (-32768, 0) if restart else expected[row]
            for index, value in enumerate(elements[:count]):
                if value > best[0]:
                    best = (value, channel + index)
            expected[row] = best
        channel += width // 2
    # The same row in consecutive cycles.
    for index in range(12):
        value = -100 + index // 2
        words.append(
            {
                "address": 0,
                "mode": ResultMode.LOGITS16,
                "row": 1,
                "channel": 1000 + index * width // 2,
                "elements": 1,
                "restart": index == 0,
                "data": join([value]),
            }
        )
    expected[1] = (-95, 1000 + 10 * width // 2)
    bench.run(words, send=send, operand=operand)
    assert bench.candidates == expected
    assert expected[0] == (-32768, 0)
