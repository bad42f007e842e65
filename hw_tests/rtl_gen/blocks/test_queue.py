# SPDX-License-Identifier: Apache-2.0
"""Queue and register slice keep every payload, in order, at one per cycle."""

from __future__ import annotations

import gc
import random

import pytest
from amaranth.sim import Simulator

from hw_tests.seeds import salted
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.skid import Skid

PARTS = {
    "queue3": lambda: Queue(shape=16, depth=3),
    "queue8": lambda: Queue(shape=16, depth=8),
    "skid": lambda: Skid(shape=16),
}


@pytest.mark.parametrize(("producer", "consumer"), [(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4)])
@pytest.mark.parametrize("name", PARTS)
def test_order(name: str, producer: float, consumer: float) -> None:
    dut = PARTS[name]()
    words = [random.Random(salted(1)).getrandbits(16) for _ in range(300)]
    taken, started = [], []

    async def feed(ctx):
        rng = random.Random(salted(2))
        for word in words:
            while rng.random() < producer:
                await ctx.tick()
            ctx.set(dut.i.payload, word)
            ctx.set(dut.i.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def take(ctx):
        rng = random.Random(salted(3))
        held = None
        cycle = 0
        while len(taken) < len(words):
            ctx.set(dut.o.ready, rng.random() >= consumer)
            _, _, valid, ready, word = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            cycle += 1
            assert held is None or (valid and word == held)
            held = word if valid and not ready else None
            if valid and ready:
                taken.append(word)
                started.append(cycle)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.o.valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(take)
    simulator.run()
    assert taken == words
    if not producer and not consumer:
        assert started[0] == 1 + dut.latency
        assert started[-1] - started[0] == len(words) - 1


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_shallow_queue() -> None:
    with pytest.raises(ValueError, match="at least 3 payloads, not 2"):
        Queue(shape=1, depth=2)
    gc.collect()
