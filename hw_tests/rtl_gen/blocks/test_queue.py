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
    "queue64": lambda: Queue(shape=16, depth=64),
    "direct2": lambda: Queue(shape=16, depth=2, direct=True),
    "direct5": lambda: Queue(shape=16, depth=5, direct=True),
    "block65": lambda: Queue(shape=16, depth=65),
    "block16": lambda: Queue(shape=16, depth=16, style="block"),
    "distributed70": lambda: Queue(shape=16, depth=70, style="distributed"),
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


@pytest.mark.parametrize("name", [name for name in PARTS if name != "skid"])
def test_it_holds_its_depth_and_counts(name: str) -> None:
    """Without a consumer it takes exactly `depth` payloads; `level` is what has come and not
    left.
    """
    dut = PARTS[name]()
    rng = random.Random(salted(4))

    async def process(ctx):
        held = 0
        for cycle in range(12 * dut.depth):
            filling = cycle < 3 * dut.depth
            if cycle == 3 * dut.depth:
                assert held == dut.depth
            ctx.set(dut.i.valid, filling or rng.random() < 0.5)
            ctx.set(dut.o.ready, not filling and rng.random() < 0.6)
            assert ctx.get(dut.level) == held
            held += ctx.get(dut.i.valid & dut.i.ready) - ctx.get(dut.o.valid & dut.o.ready)
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(
    ("depth", "direct", "message"),
    [
        (2, False, "at least 3 payloads, not 2"),
        (1, True, "at least 2 payloads, not 1"),
        (65, True, "a direct queue is in distributed RAM; this one holds 65 payloads"),
    ],
)
@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_depths_that_cannot_be(depth: int, direct: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Queue(shape=1, depth=depth, direct=direct)
    gc.collect()
