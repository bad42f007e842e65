# SPDX-License-Identifier: Apache-2.0
"""A memory port against a memory in Python that checks the AXI4 rules every cycle."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.dma.memory_slave import Memory, start, word
from hw_tests.seeds import salted
from hw_tests.streams import STALLS, Sink, Source, Stalls
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.blocks.queue import Queue
from rtl_gen.dma.bursts import BurstSplitter
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.read_engine import ReadEngine
from rtl_gen.dma.write_engine import WriteEngine


def descriptors(rng: random.Random, count: int, largest: int) -> list[dict[str, int]]:
    """Starts around 4 KiB boundaries, of all lengths."""
    return [
        {
            "offset": 256 * rng.randrange(1, 40) + rng.randrange(-9, 9),
            "beats": rng.choice([1, 2, rng.randrange(1, largest)]),
            "route": rng.randrange(4),
            "traffic": rng.randrange(5),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", ["tiny", "zcu102"])
def test_reads(name: str, stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    rng = random.Random(salted(7))
    dut = MemoryPort(config=CONFIGURATIONS[name])
    work = descriptors(rng, 25, 90)
    memory = Memory(dut, stall=producer, seed=1)
    beats = [0] * 8

    async def feed(ctx):
        await Source(dut.i_read, work, Stalls(producer, 2)).run(ctx)

    async def take(ctx):
        sink = Sink(dut.o_beat, Stalls(consumer, 3), count=sum(d["beats"] for d in work))
        await sink.run(ctx)
        seen = [(beat["data"], beat["route"].value, beat["last"]) for beat in sink.received]
        assert seen == [
            (
                word(descriptor["offset"] + beat),
                descriptor["route"],
                beat + 1 == descriptor["beats"],
            )
            for descriptor in work
            for beat in range(descriptor["beats"])
        ]
        await ctx.tick().repeat(5)
        assert ctx.get(dut.idle)

    async def count(ctx):
        beat = dut.o_read_beat
        async for _, _, idle, valid, moved in ctx.tick().sample(dut.idle, beat.valid, beat.payload):
            if valid:
                beats[moved["traffic"]] += 1
                assert not idle

    start(dut, memory, feed, count, main=take)
    for traffic in range(8):
        assert beats[traffic] == sum(d["beats"] for d in work if d["traffic"] == traffic)
    assert 1 < memory.most_reads <= dut.config.outstanding


@pytest.mark.parametrize("length", [8, 12, 64, 1000])
def test_read_throughput(length: int) -> None:
    """At least 99 % of cycles carry a beat at 64 cycles of latency, once the first one has come."""
    dut = MemoryPort(config=CONFIGURATIONS["zcu102"])
    count = -(-2000 // length)
    work = [{"offset": 3 + length * index, "beats": length} for index in range(count)]
    memory = Memory(dut, latency=64)

    async def feed(ctx):
        await Source(dut.i_read, work).run(ctx)

    async def take(ctx):
        ctx.set(dut.o_beat.ready, 1)
        for _ in range(6000):
            await ctx.tick()
            if sum(memory.active) == length * count:
                return
        raise AssertionError("too slow")

    start(dut, memory, feed, main=take)
    span = len(memory.active) - memory.active.index(True)
    assert length * count >= 0.99 * span


@pytest.mark.parametrize("stalls", STALLS)
def test_writes(stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    rng = random.Random(salted(11))
    dut = MemoryPort(config=CONFIGURATIONS["small"])
    work = descriptors(rng, 20, 70)
    memory = Memory(dut, stall=consumer, seed=4)
    data, expected = [], {}
    for descriptor in work:
        for beat in range(descriptor["beats"]):
            data.append(rng.getrandbits(128))
            expected[descriptor["offset"] + beat] = data[-1]
    counted = []

    async def feed(ctx):
        plain = [{k: v for k, v in d.items() if k != "route"} for d in work]
        await Source(dut.i_write.descriptor, plain, Stalls(producer, 5)).run(ctx)

    async def feed_data(ctx):
        await Source(dut.i_write.data, data, Stalls(producer, 6)).run(ctx)

    async def wait(ctx):
        while len(counted) < len(data):
            beat = dut.o_write_beat
            _, _, valid, moved, pending = await ctx.tick().sample(
                beat.valid, beat.payload, dut.writes_pending
            )
            if valid:
                counted.append(moved["traffic"])
            assert pending or not counted or len(counted) < len(data)
        while ctx.get(dut.writes_pending):
            await ctx.tick()
        assert ctx.get(dut.idle)

    start(dut, memory, feed, feed_data, main=wait)
    assert memory.written == expected
    assert counted == [d["traffic"] for d in work for _ in range(d["beats"])]


def test_latency() -> None:
    dut = MemoryPort(config=CONFIGURATIONS["tiny"])
    memory = Memory(dut, latency=6)
    seen: dict[str, int] = {}

    async def main(ctx):
        await ctx.tick()
        ctx.set(dut.o_beat.ready, 1)
        for port in (dut.i_read, dut.i_write.descriptor):
            ctx.set(port.payload, {"offset": 0, "beats": 1})
            ctx.set(port.valid, 1)
        arrived = None
        for cycle in range(40):
            transfer = ctx.get(dut.axi.rvalid & dut.axi.rready)
            if transfer and arrived is None:
                arrived = cycle
            await ctx.tick()
            for port in (dut.i_read, dut.i_write.descriptor):
                ctx.set(port.valid, 0)
            for name in ("arvalid", "awvalid"):
                if ctx.get(getattr(dut.axi, name)):
                    seen.setdefault(name, cycle + 1)
            if ctx.get(dut.o_beat.valid) and arrived is not None:
                seen.setdefault("beat", cycle + 1 - arrived)

    start(dut, memory, main=main)
    assert seen["arvalid"] == ReadEngine.request_latency
    assert ReadEngine.request_latency == Queue.latency + BurstSplitter.latency + 1
    assert seen["awvalid"] == WriteEngine.request_latency
    assert seen["beat"] == ReadEngine.beat_latency
