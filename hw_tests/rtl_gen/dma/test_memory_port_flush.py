# SPDX-License-Identifier: Apache-2.0
"""Flush of a memory port: at any cycle, of any traffic, and behind a fault."""

from __future__ import annotations

import itertools
import random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.dma.memory_slave import BASE, Memory, start, word
from hw_tests.seeds import salted
from hw_tests.streams import Source
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.dma.memory_port import MemoryPort

TINY = CONFIGURATIONS["tiny"]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_data_of_a_write_outside_goes_nowhere(after: int) -> None:
    """Flush `after` cycles behind the fault: the next descriptor would take that data, but is not
    begun.
    """
    dut = MemoryPort(config=TINY)
    memory = Memory(dut, window=100)

    async def main(ctx):
        ctx.set(dut.i_write.data.valid, 1)
        ctx.set(dut.i_write.data.payload, 0xBAD)
        await ctx.tick()
        work = [{"offset": 100, "beats": 1}, {"offset": 7, "beats": 9}]
        for payload in work:
            ctx.set(dut.i_write.descriptor.payload, payload)
            ctx.set(dut.i_write.descriptor.valid, 1)
            await ctx.tick()
        ctx.set(dut.i_write.descriptor.valid, 0)
        while not ctx.get(dut.error.valid):
            await ctx.tick()
        for _ in range(after):
            await ctx.tick()
        ctx.set(dut.flush, 1)
        ctx.set(dut.i_write.data.valid, 0)
        for _ in range(60):
            await ctx.tick()
            assert not ctx.get(dut.axi.awvalid)
        assert ctx.get(dut.idle)
        ctx.set(dut.flush, 0)
        await Source(dut.i_write.descriptor, [{"offset": 9, "beats": 1}]).run(ctx)
        await Source(dut.i_write.data, [0x600D]).run(ctx)
        await ctx.tick().until(~dut.writes_pending)

    start(dut, memory, main=main)
    assert memory.written == {9: 0x600D} and memory.write_bursts == [(BASE + 16 * 9, 1)]


async def _flushed(ctx, dut, memory: Memory, rng: random.Random) -> None:
    """Set flush until the port is idle; nothing comes out meanwhile."""
    ctx.set(dut.o_beat.ready, rng.randrange(2))
    ctx.set(dut.flush, 1)
    for _ in range(600):
        await ctx.tick()
        assert not ctx.get(dut.o_beat.valid)
        if ctx.get(dut.idle):
            break
    assert ctx.get(dut.idle) and not ctx.get(dut.writes_pending)
    assert sum(memory.active) == sum(length for _, length in memory.read_bursts)
    await ctx.tick().repeat(rng.randrange(1, 5))
    ctx.set(dut.flush, 0)


@pytest.mark.parametrize("seed", [0, 1, slow(2), slow(3)])
def test_flush(seed: int) -> None:
    """At random cycles of any traffic, also with data that never comes and faults: it ends, and the
    port works.
    """
    rng = random.Random(salted(seed))
    dut = MemoryPort(config=TINY)
    memory = Memory(dut, latency=12, stall=0.3 * (seed & 1), seed=seed, bad={BASE + 16 * 40})
    counter = itertools.count(1000)

    async def offer(ctx, port, payloads, cycles: int) -> int:
        """Payloads for some cycles, as long as they last; how many were taken."""
        taken = 0
        for _ in range(cycles):
            ctx.set(port.valid, taken < len(payloads))
            if taken < len(payloads):
                ctx.set(port.payload, payloads[taken])
            _, _, ready = await ctx.tick().sample(port.ready)
            taken += bool(ready and taken < len(payloads))
        ctx.set(port.valid, 0)
        return taken

    def run(name: str, first: int) -> dict[str, int]:
        outside = rng.random() < 0.1
        offset = 1 << 16 if outside else first + rng.randrange(300)
        return {"offset": offset, "beats": rng.choice([1, 3, 40, 200]), "command": len(name)}

    ports = {"read": dut.i_read, "write": dut.i_write.descriptor, "data": dut.i_write.data}
    work: dict[str, tuple[list, int]] = {}
    states = {"round": 0, "done": 0}

    def feeder(name: str):
        async def feed(ctx):
            seen = 0
            while True:
                if states["round"] == seen:
                    await ctx.tick()
                    continue
                seen += 1
                await offer(ctx, ports[name], *work[name])
                states["done"] += 1

        return feed

    async def main(ctx):
        await ctx.tick()
        for round_ in range(10):
            moment = rng.randrange(1, 25 if round_ % 2 else 120)
            data = [next(counter) for _ in range(rng.choice([0, 3, 500]))]
            memory.written.clear()
            ctx.set(dut.o_beat.ready, rng.randrange(2))
            work["read"] = ([run("read", 10) for _ in range(6)], moment)
            work["write"] = ([run("write", 500) for _ in range(6)], moment)
            work["data"] = (data, moment)
            states["done"] = 0
            states["round"] += 1
            while states["done"] < 3:
                await ctx.tick()
            await _flushed(ctx, dut, memory, rng)
            assert set(memory.written.values()) <= set(data)
            await Source(dut.i_read, [{"offset": 77, "beats": 2}]).run(ctx)
            await Source(dut.i_write.descriptor, [{"offset": 1000, "beats": 1}]).run(ctx)
            await Source(dut.i_write.data, [99]).run(ctx)
            ctx.set(dut.o_beat.ready, 1)
            got = []
            while len(got) < 2:
                _, _, valid, payload = await ctx.tick().sample(dut.o_beat.valid, dut.o_beat.payload)
                if valid:
                    got.append((payload["data"], payload["last"]))
            assert got == [(word(77), 0), (word(78), 1)], f"seed {seed}, round {round_}"
            await ctx.tick().until(~dut.writes_pending)
            assert memory.written[1000] == 99

    feeders = [feeder(name) for name in ports]
    start(dut, memory, *feeders, main=main)
