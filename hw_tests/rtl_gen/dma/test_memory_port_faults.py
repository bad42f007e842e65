# SPDX-License-Identifier: Apache-2.0
"""Faults of a memory port: what is one, which command it names, that nothing of it reaches the bus;
and flush.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.dma.memory_slave import BASE, STALLS, Memory, send, start, word
from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import ErrorCode
from rtl_gen.blocks.queue import Queue
from rtl_gen.dma.bursts import max_burst_beats
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.interfaces.dma import Route

TINY = CONFIGURATIONS["tiny"]
LOW = replace(TINY, address_bits=32)


async def watch(ctx, dut, errors: list[tuple[int, int, int]], cycles: int) -> None:
    """Code, address and command of every pulse of `error`, with which the port is never idle."""
    for _ in range(cycles):
        await ctx.tick()
        error = ctx.get(dut.error)
        if error["valid"]:
            assert not ctx.get(dut.idle)
            errors.append((error["code"], error["address"], error["command"]))


@pytest.mark.parametrize(
    ("offset", "beats"),
    [(1000, 1), (999, 2), (0, 1001), (0xFFFFFFFF, 1), (0xFFFFFFFF, 2), (5, 0), (0, 0), (1000, 0)],
)
@pytest.mark.parametrize("port", ["i_read", "i_write"])
def test_window(port: str, offset: int, beats: int) -> None:
    """One beat too many, or none, is one error and nothing on the bus; the last beat inside is
    read.
    """
    dut = MemoryPort(config=TINY)
    memory = Memory(dut, window=1000)
    errors = []

    async def main(ctx):
        await ctx.tick()
        good = {"offset": 999, "beats": 1, "command": 3}
        await send(ctx, dut.i_read, [good], random.Random(salted(0)), 0.0)
        wrong = {"offset": offset, "beats": beats, "command": 0xABCDEF}
        await send(ctx, getattr(dut, port), [wrong], random.Random(salted(0)), 0)
        await watch(ctx, dut, errors, 40)

    start(dut, memory, main=main)
    address = (BASE + 16 * offset) % (1 << 40)
    assert errors == [(int(ErrorCode.WINDOW), address, 0xABCDEF)]
    assert memory.read_bursts == [(BASE + 16 * 999, 1)] and not memory.write_bursts


@pytest.mark.parametrize("config", [TINY, LOW], ids=["40", "32"])
@pytest.mark.parametrize("port", ["i_read", "i_write"])
def test_window_over_the_top_of_the_address_space(config, port: str) -> None:
    """Two pages below the top, a window of many more: what lies above the top is not the memory at
    0.
    """
    dut = MemoryPort(config=config)
    base = (1 << config.address_bits) - 2 * 4096
    memory = Memory(dut, base=base, window=(1 << 32) - 1)
    wrong = [(511, 2), (512, 1), (513, 1), (0, 513), (300, 300), (700, 5), (0xFFFF0000, 9)]
    errors = []

    async def main(ctx):
        await ctx.tick()
        work = [{"offset": at, "beats": n, "command": i} for i, (at, n) in enumerate(wrong)]
        await send(ctx, getattr(dut, port), work, random.Random(salted(0)), 0.0)
        await watch(ctx, dut, errors, 60)
        assert not memory.read_bursts and not memory.write_bursts
        inside = [{"offset": 511, "beats": 1}, {"offset": 500, "beats": 12}]
        await send(ctx, dut.i_read, inside, random.Random(salted(0)), 0.0)
        await watch(ctx, dut, errors, 60)

    start(dut, memory, main=main)
    assert [error[2] for error in errors][-3:] == [4, 5, 6]  # `send` takes the time of the first
    assert {error[0] for error in errors} == {int(ErrorCode.WINDOW)}
    assert memory.read_bursts == [(base + 16 * 511, 1), (base + 16 * 500, 12)]


def test_whole_address_space() -> None:
    """A window from 0 to the top, which is the largest there is."""
    dut = MemoryPort(config=LOW)
    memory = Memory(dut, base=0, window=1 << 28)
    errors = []

    async def main(ctx):
        await ctx.tick()
        work = [((1 << 28) - 1, 1), ((1 << 28) - 1, 2), (0, 1), (1 << 28, 1)]
        work = [{"offset": at, "beats": n, "command": n} for at, n in work]
        await send(ctx, dut.i_read, work, random.Random(salted(0)), 0.0)
        await watch(ctx, dut, errors, 40)

    start(dut, memory, main=main)
    assert memory.read_bursts == [((1 << 32) - 16, 1), (0, 1)]
    assert errors[-1] == (int(ErrorCode.WINDOW), 0, 1)


@pytest.mark.parametrize("write", [False, True])
def test_bad_response(write: bool) -> None:
    dut = MemoryPort(config=TINY)
    memory = Memory(dut, bad={BASE + 16 * 16})
    errors = []

    async def main(ctx):
        ctx.set(dut.o_beat.ready, 1)
        port = dut.i_write if write else dut.i_read
        work = [{"offset": 0, "beats": 48, "command": 77}]
        await send(ctx, port, work, random.Random(salted(0)), 0.0)
        ctx.set(dut.i_write_data.valid, 1)
        await watch(ctx, dut, errors, 100)

    start(dut, memory, main=main)
    code = ErrorCode.WRITE_RESPONSE if write else ErrorCode.READ_RESPONSE
    assert errors == [(int(code), BASE + 16 * 16, 77)]


def cut(offset: int, beats: int) -> list[int]:
    """Offsets of the bursts of a descriptor."""
    firsts, end = [], offset + beats
    while offset < end:
        firsts.append(offset)
        offset = min(
            end, offset + max_burst_beats(TINY), (BASE // 16 + offset | 255) + 1 - BASE // 16
        )
    return firsts


@pytest.mark.parametrize("stalls", ["free", slow("producer"), slow("consumer"), "both"])
@pytest.mark.parametrize("kind", ["read", "write", "outside_read", "outside_write"])
def test_commands_are_named(kind: str, stalls: str) -> None:
    """Many descriptors of many commands at once in both directions; every fault names its own."""
    producer, consumer = STALLS[stalls]
    rng = random.Random(salted(f"{kind} {stalls}"))
    dut = MemoryPort(config=TINY)
    reads, writes, bad, expected = [], [], set(), []
    for index in range(24):
        for work, name, place in ((reads, "read", 0), (writes, "write", 8192)):
            offset = place + 96 * index + rng.randrange(9)
            beats = rng.choice([1, 2, 5, rng.randrange(1, 60)])
            command = rng.getrandbits(24)
            if kind == f"outside_{name}" and rng.random() < 0.3:
                offset = rng.choice([1 << 16, (1 << 32) - 1])
                expected.append((int(ErrorCode.WINDOW), (BASE + 16 * offset) % (1 << 40), command))
                beats = rng.choice([0, 1, 7])
            elif kind == name:
                code = ErrorCode.WRITE_RESPONSE if name == "write" else ErrorCode.READ_RESPONSE
                for first in cut(offset, beats):
                    if rng.random() < 0.3:
                        bad.add(BASE + 16 * first)
                        expected.append((int(code), BASE + 16 * first, command))
            descriptor = {"offset": offset, "beats": beats, "traffic": 1, "command": command}
            work.append(descriptor)
    memory = Memory(dut, latency=9, stall=consumer, seed=3, bad=bad)
    errors: list[tuple[int, int, int]] = []

    async def feed_reads(ctx):
        await send(ctx, dut.i_read, reads, random.Random(salted(2)), producer)

    async def feed_writes(ctx):
        await send(ctx, dut.i_write, writes, random.Random(salted(5)), producer)

    async def collect(ctx):
        await watch(ctx, dut, errors, 1 << 30)

    async def main(ctx):
        ctx.set(dut.i_write_data.valid, 1)
        take = random.Random(salted(4))
        for _ in range(8000):
            ctx.set(dut.o_beat.ready, take.random() >= consumer)
            await ctx.tick()
            if len(errors) == len(expected):
                break
        await ctx.tick().repeat(20)

    start(dut, memory, feed_reads, feed_writes, collect, main=main)
    assert expected and errors == expected


def test_two_faults_in_a_cycle() -> None:
    """Responses of a read and a write, and a descriptor outside of each: the read's is reported,
    the write's behind it.

    Also of a read one beside the other. None is lost, because that of a read of commands may be no
    error of the program.
    """
    dut = MemoryPort(config=TINY)
    errors: list[tuple[int, int, int]] = []
    memory = Memory(dut)

    async def idle(ctx):
        """In place of the memory: the bench drives the bus."""
        ctx.set(dut.axi.arready, 1)
        ctx.set(dut.axi.awready, 1)
        ctx.set(dut.axi.wready, 1)

    memory.run = idle

    async def both(ctx, offset: int) -> None:
        for port, command in ((dut.i_read, 21), (dut.i_write, 22)):
            ctx.set(port.payload, {"offset": offset, "beats": 1, "command": command})
            ctx.set(port.valid, 1)
        await ctx.tick()
        for port in (dut.i_read, dut.i_write):
            ctx.set(port.valid, 0)

    async def respond(ctx, read: bool, write: bool) -> None:
        axi = dut.axi
        ctx.set(axi.rvalid, read)
        ctx.set(axi.bvalid, write)
        ctx.set(axi.rlast, 1)
        ctx.set(axi.rresp, 2)
        ctx.set(axi.bresp, 3)
        await ctx.tick()
        ctx.set(axi.rvalid, 0)
        ctx.set(axi.bvalid, 0)
        error = ctx.get(dut.error)
        assert error["valid"]
        errors.append((error["code"], error["address"], error["command"]))

    async def main(ctx):
        await ctx.tick()
        ctx.set(dut.o_beat.ready, 1)
        for read, write in ((True, True), (True, False), (False, True)):
            ctx.set(dut.i_write_data.valid, 1)
            await both(ctx, 5)
            ctx.set(dut.i_write_data.valid, 0)
            await ctx.tick().repeat(15)
            await respond(ctx, read, write)
            if read != write:
                await respond(ctx, not read, not write)
            await watch(ctx, dut, errors, 10)
            assert ctx.get(dut.idle)
        await both(ctx, 1 << 20)
        await watch(ctx, dut, errors, 15)
        # A response in the cycle in which the next descriptor turns out to be outside.
        for offset, route in ((5, Route.COMMAND), (1 << 20, Route.LOAD)):
            payload = {"offset": offset, "beats": 1, "command": 23, "route": route}
            ctx.set(dut.i_read.payload, payload)
            ctx.set(dut.i_read.valid, 1)
            await ctx.tick()
            ctx.set(dut.i_read.valid, 0)
            if offset == 5:
                await ctx.tick().repeat(15)
        await ctx.tick().repeat(Queue.latency - 1)
        await respond(ctx, True, False)
        assert not ctx.get(dut.idle)
        await watch(ctx, dut, errors, 15)
        assert ctx.get(dut.idle)

    start(dut, memory, main=main)
    address = BASE + 16 * 5
    read = (int(ErrorCode.READ_RESPONSE), address, 21)
    write = (int(ErrorCode.WRITE_RESPONSE), address, 22)
    top, last = BASE + (1 << 24), int(ErrorCode.WINDOW)
    in_turn = [read, write, read, write, write, read, (last, top, 21), (last, top, 22)]
    assert errors == [*in_turn, (int(ErrorCode.READ_RESPONSE), address, 23), (last, top, 23)]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_data_of_a_write_outside_goes_nowhere(after: int) -> None:
    """Flush `after` cycles behind the fault: the next descriptor would take that data, but is not
    begun.
    """
    dut = MemoryPort(config=TINY)
    memory = Memory(dut, window=100)

    async def main(ctx):
        ctx.set(dut.i_write_data.valid, 1)
        ctx.set(dut.i_write_data.payload, 0xBAD)
        await ctx.tick()
        work = [{"offset": 100, "beats": 1}, {"offset": 7, "beats": 9}]
        for payload in work:
            ctx.set(dut.i_write.payload, payload)
            ctx.set(dut.i_write.valid, 1)
            await ctx.tick()
        ctx.set(dut.i_write.valid, 0)
        while not ctx.get(dut.error.valid):
            await ctx.tick()
        for _ in range(after):
            await ctx.tick()
        ctx.set(dut.flush, 1)
        ctx.set(dut.i_write_data.valid, 0)
        for _ in range(60):
            await ctx.tick()
            assert not ctx.get(dut.axi.awvalid)
        assert ctx.get(dut.idle)
        ctx.set(dut.flush, 0)
        await send(ctx, dut.i_write, [{"offset": 9, "beats": 1}], random.Random(salted(0)), 0.0)
        await send(ctx, dut.i_write_data, [0x600D], random.Random(salted(0)), 0.0)
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
                await offer(ctx, getattr(dut, name), *work[name])
                states["done"] += 1

        return feed

    async def main(ctx):
        await ctx.tick()
        for round_ in range(10):
            moment = rng.randrange(1, 25 if round_ % 2 else 120)
            data = [next(counter) for _ in range(rng.choice([0, 3, 500]))]
            memory.written.clear()
            ctx.set(dut.o_beat.ready, rng.randrange(2))
            work["i_read"] = ([run("read", 10) for _ in range(6)], moment)
            work["i_write"] = ([run("write", 500) for _ in range(6)], moment)
            work["i_write_data"] = (data, moment)
            states["done"] = 0
            states["round"] += 1
            while states["done"] < 3:
                await ctx.tick()
            await _flushed(ctx, dut, memory, rng)
            assert set(memory.written.values()) <= set(data)
            await send(ctx, dut.i_read, [{"offset": 77, "beats": 2}], rng, 0.0)
            await send(ctx, dut.i_write, [{"offset": 1000, "beats": 1}], rng, 0.0)
            await send(ctx, dut.i_write_data, [99], rng, 0.0)
            ctx.set(dut.o_beat.ready, 1)
            got = []
            while len(got) < 2:
                _, _, valid, payload = await ctx.tick().sample(dut.o_beat.valid, dut.o_beat.payload)
                if valid:
                    got.append((payload["data"], payload["last"]))
            assert got == [(word(77), 0), (word(78), 1)], f"seed {seed}, round {round_}"
            await ctx.tick().until(~dut.writes_pending)
            assert memory.written[1000] == 99

    feeders = [feeder(name) for name in ("i_read", "i_write", "i_write_data")]
    start(dut, memory, *feeders, main=main)
