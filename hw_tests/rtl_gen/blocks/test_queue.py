# SPDX-License-Identifier: Apache-2.0
"""Queue and register slice keep every payload, in order, at one per cycle."""

from __future__ import annotations

import gc
import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import STALLS, Sink, Source, Stalls, simulate
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.skid import Skid

PARTS = {
    "queue3": lambda: Queue(shape=16, depth=3),
    "queue8": lambda: Queue(shape=16, depth=8),
    "skid": lambda: Skid(shape=16),
}


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", PARTS)
def test_order(name: str, stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    dut = PARTS[name]()
    words = [random.Random(salted(1)).getrandbits(16) for _ in range(300)]
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


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_shallow_queue() -> None:
    with pytest.raises(ValueError, match="at least 3 payloads, not 2"):
        Queue(shape=1, depth=2)
    gc.collect()
