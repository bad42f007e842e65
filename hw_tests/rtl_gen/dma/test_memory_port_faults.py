# SPDX-License-Identifier: Apache-2.0
"""Faults of a memory port: what is one, which command it names, and that nothing of it reaches the
bus.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.dma.memory_slave import BASE, Memory, start
from hw_tests.seeds import salted
from hw_tests.streams import STALLS, Source, Stalls
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
        if ctx.get(dut.error.valid):
            assert not ctx.get(dut.idle)
            errors.append(_seen(ctx, dut))


def _seen(ctx, dut) -> tuple[int, int, int]:
    """Code, address and command of the fault that `error` has."""
    error = ctx.get(dut.error.payload)
    return error["code"], error["address"], error["command"]


def _descriptors(dut, port: str):
    """Its stream of descriptors."""
    return {"read": dut.i_read, "write": dut.i_write.descriptor}[port]


@pytest.mark.parametrize(
    ("offset", "beats"),
    [(1000, 1), (999, 2), (0, 1001), (0xFFFFFFFF, 1), (0xFFFFFFFF, 2), (5, 0), (0, 0), (1000, 0)],
)
@pytest.mark.parametrize("port", ["read", "write"])
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
        await Source(dut.i_read, [good]).run(ctx)
        wrong = {"offset": offset, "beats": beats, "command": 0xABCDEF}
        await Source(_descriptors(dut, port), [wrong]).run(ctx)
        await watch(ctx, dut, errors, 40)

    start(dut, memory, main=main)
    address = (BASE + 16 * offset) % (1 << 40)
    assert errors == [(int(ErrorCode.WINDOW), address, 0xABCDEF)]
    assert memory.read_bursts == [(BASE + 16 * 999, 1)] and not memory.write_bursts


@pytest.mark.parametrize("config", [TINY, LOW], ids=["40", "32"])
@pytest.mark.parametrize("port", ["read", "write"])
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
        await Source(_descriptors(dut, port), work).run(ctx)
        await watch(ctx, dut, errors, 60)
        assert not memory.read_bursts and not memory.write_bursts
        inside = [{"offset": 511, "beats": 1}, {"offset": 500, "beats": 12}]
        await Source(dut.i_read, inside).run(ctx)
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
        await Source(dut.i_read, work).run(ctx)
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
        port = dut.i_write.descriptor if write else dut.i_read
        work = [{"offset": 0, "beats": 48, "command": 77}]
        await Source(port, work).run(ctx)
        ctx.set(dut.i_write.data.valid, 1)
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
        await Source(dut.i_read, reads, Stalls(producer, 2)).run(ctx)

    async def feed_writes(ctx):
        await Source(dut.i_write.descriptor, writes, Stalls(producer, 5)).run(ctx)

    async def collect(ctx):
        await watch(ctx, dut, errors, 1 << 30)

    async def main(ctx):
        ctx.set(dut.i_write.data.valid, 1)
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
        for port, command in ((dut.i_read, 21), (dut.i_write.descriptor, 22)):
            ctx.set(port.payload, {"offset": offset, "beats": 1, "command": command})
            ctx.set(port.valid, 1)
        await ctx.tick()
        for port in (dut.i_read, dut.i_write.descriptor):
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
        await ctx.tick().repeat(MemoryPort.ERROR_LATENCY)
        assert ctx.get(dut.error.valid)
        errors.append(_seen(ctx, dut))

    async def main(ctx):
        await ctx.tick()
        ctx.set(dut.o_beat.ready, 1)
        for read, write in ((True, True), (True, False), (False, True)):
            ctx.set(dut.i_write.data.valid, 1)
            await both(ctx, 5)
            ctx.set(dut.i_write.data.valid, 0)
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
        await ctx.tick().repeat(Queue.latency)
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
