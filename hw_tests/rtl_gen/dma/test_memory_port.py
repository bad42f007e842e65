# SPDX-License-Identifier: Apache-2.0
"""A memory port against a memory in Python that checks the AXI4 rules every cycle."""

from __future__ import annotations

import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import ErrorCode
from rtl_gen.dma.bursts import BurstSplitter, max_burst_beats
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.read_engine import ReadEngine
from rtl_gen.dma.write_engine import WriteEngine
from rtl_gen.stream.queue import Queue

BASE = 0x12_3456_7000
STALLS = {"free": (0.0, 0.0), "producer": (0.6, 0.0), "consumer": (0.0, 0.6), "both": (0.5, 0.5)}


def word(beat: int) -> int:
    """Content of the memory: different in every beat."""
    return beat * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


class Memory:
    """An AXI4 slave with `latency` cycles and random stalls of every channel."""

    def __init__(self, dut, *, latency=4, stall=0.0, seed=0, bad=(), window=1 << 16):
        self.dut, self.latency, self.stall, self.bad = dut, latency, stall, bad
        self.window = window
        self.rng = random.Random(seed)
        self.written: dict[int, tuple[int, int]] = {}
        self.read_bursts: list[tuple[int, int]] = []
        self.write_bursts: list[tuple[int, int]] = []
        self.active: list[bool] = []  # R transfers by cycle
        self.most_reads = self.most_writes = 0
        self.outstanding = 0

    def check_burst(self, address: int, length: int) -> None:
        first = (address - BASE) // 16
        assert address % 16 == 0 and 0 <= first and first + length <= self.window
        assert address // 4096 == (address + 16 * length - 1) // 4096
        assert 1 <= length <= max_burst_beats(self.dut.config)

    async def run(self, ctx):
        axi, rng = self.dut.axi, self.rng
        reads, responses = deque(), deque()
        write_addresses, write_data = deque(), deque()
        waiting = {"ar": None, "aw": None, "w": None}
        cycle = 0
        fields = {
            "ar": (axi.araddr, axi.arlen),
            "aw": (axi.awaddr, axi.awlen),
            "w": (axi.wdata, axi.wstrb, axi.wlast),
        }
        while True:
            ready = {name: rng.random() >= self.stall for name in fields}
            for name, value in ready.items():
                ctx.set(getattr(axi, f"{name}ready"), value)
            for name, signals in fields.items():
                now = tuple(ctx.get(signal) for signal in signals)
                valid = ctx.get(getattr(axi, f"{name}valid"))
                if waiting[name] is not None:
                    assert valid and now == waiting[name], f"{name} changed before READY"
                waiting[name] = now if valid and not ready[name] else None
                if not (valid and ready[name]):
                    continue
                if name == "w":
                    write_data.append(now)
                    continue
                address, length = now[0], now[1] + 1
                self.check_burst(address, length)
                if name == "ar":
                    self.read_bursts.append((address, length))
                    self.outstanding += 1
                    self.most_reads = max(self.most_reads, self.outstanding)
                    for beat in range(length):
                        reads.append(
                            (cycle + self.latency, address + 16 * beat, beat + 1 == length)
                        )
                else:
                    self.write_bursts.append((address, length))
                    write_addresses.append((address, length))
            while write_addresses and len(write_data) >= write_addresses[0][1]:
                address, length = write_addresses.popleft()
                for beat in range(length):
                    data, strobes, last = write_data.popleft()
                    assert last == (beat + 1 == length)
                    if strobes:
                        assert strobes == 0xFFFF
                        self.written[(address - BASE) // 16 + beat] = data
                responses.append((cycle + self.latency, address))
            self.drive_r(ctx, reads, cycle)
            if ctx.get(axi.bvalid) and self.b_taken:
                ctx.set(axi.bvalid, 0)
            if not ctx.get(axi.bvalid) and responses and responses[0][0] <= cycle:
                _, address = responses.popleft()
                ctx.set(axi.bvalid, 1)
                ctx.set(axi.bresp, 2 if address in self.bad else 0)
            _, _, r_ready, b_ready = await ctx.tick().sample(axi.rready, axi.bready)
            self.r_taken, self.b_taken = r_ready, b_ready
            taken = bool(ctx.get(axi.rvalid) and r_ready)
            self.active.append(taken)
            if taken and ctx.get(axi.rlast):
                self.outstanding -= 1
            cycle += 1

    r_taken = b_taken = False

    def drive_r(self, ctx, reads, cycle) -> None:
        axi = self.dut.axi
        if ctx.get(axi.rvalid) and not self.r_taken:
            return
        if reads and reads[0][0] <= cycle and self.rng.random() >= self.stall:
            _, address, last = reads.popleft()
            ctx.set(axi.rvalid, 1)
            ctx.set(axi.rlast, last)
            ctx.set(axi.rdata, word((address - BASE) // 16))
            ctx.set(axi.rresp, 2 if address in self.bad else 0)
        else:
            ctx.set(axi.rvalid, 0)


async def send(ctx, port, payloads, rng, stall):
    for payload in payloads:
        while rng.random() < stall:
            await ctx.tick()
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        ready = False
        while not ready:
            _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)


def start(dut, memory, *benches, main):
    async def setup(ctx):
        ctx.set(dut.window_base, BASE)
        ctx.set(dut.window_beats, memory.window)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(setup)
    simulator.add_testbench(memory.run, background=True)
    for bench in benches:
        simulator.add_testbench(bench, background=True)
    simulator.add_testbench(main)
    simulator.run()


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
    rng = random.Random(7)
    dut = MemoryPort(config=CONFIGURATIONS[name])
    work = descriptors(rng, 25, 90)
    memory = Memory(dut, stall=producer, seed=1)
    beats = [0] * 8

    async def feed(ctx):
        await send(ctx, dut.i_read, work, random.Random(2), producer)

    async def take(ctx):
        consumer_rng = random.Random(3)
        for descriptor in work:
            for beat in range(descriptor["beats"]):
                while consumer_rng.random() < consumer:
                    await ctx.tick()
                ctx.set(dut.o_beat.ready, 1)
                valid = False
                while not valid:
                    _, _, valid, payload, counted = await ctx.tick().sample(
                        dut.o_beat.valid, dut.o_beat.payload, dut.o_read_beat
                    )
                ctx.set(dut.o_beat.ready, 0)
                assert payload["data"] == word(descriptor["offset"] + beat)
                assert payload["route"].value == descriptor["route"]
                assert payload["last"] == (beat + 1 == descriptor["beats"])
        await ctx.tick().repeat(5)
        assert ctx.get(dut.idle)

    async def count(ctx):
        async for _, _, idle, beat in ctx.tick().sample(dut.idle, dut.o_read_beat):
            if beat["valid"]:
                beats[beat["traffic"]] += 1
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
        await send(ctx, dut.i_read, work, random.Random(0), 0.0)

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
    rng = random.Random(11)
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
        await send(ctx, dut.i_write, plain, random.Random(5), producer)

    async def feed_data(ctx):
        await send(ctx, dut.i_write_data, data, random.Random(6), producer)

    async def wait(ctx):
        while len(counted) < len(data):
            _, _, beat, pending = await ctx.tick().sample(dut.o_write_beat, dut.writes_pending)
            if beat["valid"]:
                counted.append(beat["traffic"])
            assert pending or not counted or len(counted) < len(data)
        while ctx.get(dut.writes_pending):
            await ctx.tick()
        assert ctx.get(dut.idle)

    start(dut, memory, feed, feed_data, main=wait)
    assert memory.written == expected
    assert counted == [d["traffic"] for d in work for _ in range(d["beats"])]


@pytest.mark.parametrize(
    ("offset", "beats"), [(1000, 1), (999, 2), (0, 1001), (0xFFFFFFFF, 1), (0xFFFFFFFF, 2), (5, 0)]
)
@pytest.mark.parametrize("port", ["i_read", "i_write"])
def test_window(port: str, offset: int, beats: int) -> None:
    """One beat too many is one error and nothing on the bus; the last beat inside is read."""
    dut = MemoryPort(config=CONFIGURATIONS["tiny"])
    memory = Memory(dut, window=1000)
    errors = []

    async def main(ctx):
        await ctx.tick()
        good = {"offset": 999, "beats": 1}
        await send(ctx, dut.i_read, [good], random.Random(0), 0.0)
        await send(
            ctx, getattr(dut, port), [{"offset": offset, "beats": beats}], random.Random(0), 0
        )
        for _ in range(40):
            await ctx.tick()
            error = ctx.get(dut.error)
            if error["valid"]:
                errors.append((error["code"], error["address"]))

    start(dut, memory, main=main)
    address = (BASE + 16 * offset) % (1 << 40)
    assert errors == [(int(ErrorCode.WINDOW), address)]
    assert memory.read_bursts == [(BASE + 16 * 999, 1)] and not memory.write_bursts


@pytest.mark.parametrize("write", [False, True])
def test_bad_response(write: bool) -> None:
    dut = MemoryPort(config=CONFIGURATIONS["tiny"])
    memory = Memory(dut, bad={BASE + 16 * 16})
    errors = []

    async def main(ctx):
        ctx.set(dut.o_beat.ready, 1)
        port = dut.i_write if write else dut.i_read
        await send(ctx, port, [{"offset": 0, "beats": 48}], random.Random(0), 0.0)
        ctx.set(dut.i_write_data.valid, 1)
        for _ in range(100):
            await ctx.tick()
            error = ctx.get(dut.error)
            if error["valid"]:
                errors.append((error["code"], error["address"]))

    start(dut, memory, main=main)
    code = ErrorCode.WRITE_RESPONSE if write else ErrorCode.READ_RESPONSE
    assert errors == [(int(code), BASE + 16 * 16)]


@pytest.mark.parametrize("moment", [1, 9, 14, 22, 37, 60])
def test_flush(moment: int) -> None:
    """Flush ends everything as AXI demands, and the port works afterwards."""
    dut = MemoryPort(config=CONFIGURATIONS["tiny"])
    memory = Memory(dut, latency=12, stall=0.3, seed=moment)

    async def main(ctx):
        rng = random.Random(moment)
        await send(ctx, dut.i_read, [{"offset": 10, "beats": 200}], rng, 0.0)
        await send(ctx, dut.i_write, [{"offset": 500, "beats": 200}], rng, 0.0)
        await send(ctx, dut.i_read, [{"offset": 300, "beats": 7}], rng, 0.0)
        await send(ctx, dut.i_write_data, [1] * min(6, moment), rng, 0.0)
        await ctx.tick().repeat(moment)
        ctx.set(dut.flush, 1)
        for _ in range(400):
            await ctx.tick()
            assert not ctx.get(dut.o_beat.valid)
            if ctx.get(dut.idle):
                break
        assert ctx.get(dut.idle) and not ctx.get(dut.writes_pending)
        assert sum(memory.active) == sum(length for _, length in memory.read_bursts)
        await ctx.tick().repeat(5)
        ctx.set(dut.flush, 0)
        assert set(memory.written.values()) <= {1} and len(memory.written) <= 6
        await send(ctx, dut.i_read, [{"offset": 77, "beats": 2}], rng, 0.0)
        await send(ctx, dut.i_write, [{"offset": 1000, "beats": 1}], rng, 0.0)
        await send(ctx, dut.i_write_data, [99], rng, 0.0)
        ctx.set(dut.o_beat.ready, 1)
        got = []
        while len(got) < 2:
            _, _, valid, payload = await ctx.tick().sample(dut.o_beat.valid, dut.o_beat.payload)
            if valid:
                got.append((payload["data"], payload["last"]))
        assert got == [(word(77), 0), (word(78), 1)]
        while ctx.get(dut.writes_pending):
            await ctx.tick()
        assert memory.written[1000] == 99

    start(dut, memory, main=main)


def test_latency() -> None:
    dut = MemoryPort(config=CONFIGURATIONS["tiny"])
    memory = Memory(dut, latency=6)
    seen: dict[str, int] = {}

    async def main(ctx):
        await ctx.tick()
        ctx.set(dut.o_beat.ready, 1)
        for port in (dut.i_read, dut.i_write):
            ctx.set(port.payload, {"offset": 0, "beats": 1})
            ctx.set(port.valid, 1)
        arrived = None
        for cycle in range(40):
            transfer = ctx.get(dut.axi.rvalid & dut.axi.rready)
            if transfer and arrived is None:
                arrived = cycle
            await ctx.tick()
            for port in (dut.i_read, dut.i_write):
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
