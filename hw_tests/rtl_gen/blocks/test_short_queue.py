# SPDX-License-Identifier: Apache-2.0
"""A short queue keeps every payload, in order, at one per cycle, and takes as many as it says."""

from __future__ import annotations

import gc
import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import STALLS, Sink, Source, Stalls, simulate
from rtl_gen.blocks.short_queue import ShortQueue


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("depth", [2, 5, 16])
def test_order(depth: int, stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    dut = ShortQueue(shape=16, depth=depth)
    words = [random.Random(salted(depth)).getrandbits(16) for _ in range(300)]
    source = Source(dut.i, words, Stalls(producer, seed=2))
    sink = Sink(dut.o, Stalls(consumer, seed=3), count=len(words))

    async def take(ctx):
        await sink.run(ctx)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.o.valid)

    simulate(dut, take, background=[source.run])
    assert sink.received == words
    if stalls == "free":
        first = source.cycles[0] + dut.latency
        assert sink.cycles == list(range(first, first + len(words)))


@pytest.mark.parametrize("depth", [2, 3, 64])
def test_it_holds_its_depth(depth: int) -> None:
    """Without a consumer it takes exactly `depth` payloads, and is ready and valid when it should
    be from then on too.
    """
    dut = ShortQueue(shape=16, depth=depth)
    rng = random.Random(salted(4))

    async def process(ctx):
        held = 0
        for cycle in range(12 * depth):
            filling = cycle < 3 * depth
            if cycle == 3 * depth:
                assert held == depth
            ctx.set(dut.i.valid, filling or rng.random() < 0.5)
            ctx.set(dut.o.ready, not filling and rng.random() < 0.6)
            assert ctx.get(dut.i.ready) == (held < depth)
            assert ctx.get(dut.o.valid) == (held > 0)
            held += ctx.get(dut.i.valid & dut.i.ready) - ctx.get(dut.o.valid & dut.o.ready)
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize("depth", [1, 65])
@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_depths_that_cannot_be(depth: int) -> None:
    with pytest.raises(ValueError, match=f"holds 2 to 64 payloads, not {depth}"):
        ShortQueue(shape=1, depth=depth)
    gc.collect()
