# SPDX-License-Identifier: Apache-2.0
"""What the cocotb benches of a memory port share: cocotbext-axi's memory behind it, its user's
streams, faults.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiResp

from cocotb_bench.memory import channels, pauses
from hw_tests.rtl_gen.dma.axi_monitor import AxiMonitor
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.layout import BitField, pack_fields
from rtl_gen.dma.bursts import max_burst_beats
from rtl_gen.interfaces.command import INDEX_BITS

__all__ = [
    "BASE",
    "CONFIG",
    "MAX_BURST",
    "TIMEOUT",
    "MemoryPortDriver",
    "inject",
]

CONFIG = CONFIGURATIONS[os.environ.get("MEADOW_BENCH_CONFIG", "tiny")]
BASE = 0x1000
"""Byte address of the window: memory below it is never to be touched."""
MAX_BURST = max_burst_beats(CONFIG)
PAGE = 4096
TIMEOUT: dict[str, Any] = {"timeout_time": 400, "timeout_unit": "us"}
"""For cocotb.test: 100,000 cycles, twice what the longest takes; a port that hangs fails."""
READ = (
    BitField("offset", 32, ""),
    BitField("beats", 28, ""),
    BitField("route", 2, ""),
    BitField("traffic", 3, ""),
    BitField("command", INDEX_BITS, ""),
)
WRITE = (READ[0], READ[1], READ[3], READ[4])


def inject(ram: AxiRam, faults: dict[int, AxiResp]) -> None:
    """Answer the beat at each byte address of `faults` with its response; a write burst with its
    beats' worst.
    """
    for interface, taken, given in (
        (ram.read_if, ram.read_if.ar_channel, ram.read_if.r_channel),
        (ram.write_if, ram.write_if.aw_channel, ram.write_if.b_channel),
    ):
        _inject(interface is ram.read_if, taken, given, faults)


def _inject(reads: bool, taken, given, faults: dict[int, AxiResp]) -> None:
    beats: deque[int] = deque()
    recv, send = taken.recv, given.send

    async def receive():
        burst = await recv()
        first, length = (burst.araddr, burst.arlen) if reads else (burst.awaddr, burst.awlen)
        beats.extend(range(int(first), int(first) + 16 * (int(length) + 1), 16))
        return burst

    async def respond(answer):
        if reads:
            answer.rresp = faults.get(beats.popleft(), AxiResp.OKAY)
        else:
            answer.bresp = max(faults.get(beat, AxiResp.OKAY) for beat in beats)
            beats.clear()
        await send(answer)

    taken.recv, given.send = receive, respond


class MemoryPortDriver:
    """A memory port in reset, released by `start`, and everything around it.

    ram: the memory, `content` what it should hold; monitor: see AxiMonitor. command_of: by input
    stream and offset, the command that the last descriptor with this offset belongs to.
    """

    def __init__(self, dut, *, bytes_log2: int = 18, seed: int = 0) -> None:
        self.dut = dut
        self.seed = cocotb.RANDOM_SEED + seed
        self.rng = random.Random(self.seed)
        self.size = 1 << bytes_log2
        cocotb.start_soon(Clock(dut.clk, 4, "ns").start())
        self.quiet()
        dut.flush.value = 0
        dut.rst.value = 1
        dut.window_base.value = BASE
        dut.window_beats.value = (self.size - BASE) // 16
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi0"), dut.clk, dut.rst, size=self.size)
        for channel in ("aw", "w", "b", "ar", "r"):
            channels(self.ram)[channel].queue_occupancy_limit = 4
        self.content = bytearray(self.rng.randbytes(self.size))
        self.ram.write(0, bytes(self.content))
        self.monitor = AxiMonitor(
            dut,
            window=(BASE, self.size),
            burst_beats=MAX_BURST,
            outstanding=CONFIG.outstanding,
            address_bits=CONFIG.address_bits,
        )
        self.stall = 0.0
        self.commands = itertools.count(self.rng.getrandbits(INDEX_BITS))
        self.command_of: dict[tuple[str, int], int] = {}

    def quiet(self) -> None:
        """Offer and take nothing."""
        for name in ("i_read", "i_write", "i_write_data"):
            getattr(self.dut, f"{name}_valid").value = 0
            getattr(self.dut, f"{name}_payload").value = 0
        self.dut.o_beat_ready.value = 0

    async def start(self, *, stall: float = 0.0) -> None:
        """Out of reset; `stall`: chance that a stream of the port's user rests in a cycle."""
        self.stall = stall
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        cocotb.start_soon(self.monitor.run())

    async def reset(self, cycles: int) -> None:
        """Hold the reset for some cycles, user and memory too."""
        self.dut.rst.value = 1
        self.quiet()
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0

    def pause(self, chance: float, *, longest: int = 1, only: Sequence[str] = ()) -> None:
        """Random rests of the memory's ends of the channels, of all or only some."""
        for index, (name, channel) in enumerate(channels(self.ram).items()):
            if not only or name in only:
                channel.set_pause_generator(pauses(self.seed + index, chance, longest))

    async def send(self, name: str, words: Sequence[int]) -> None:
        """Words into an input stream, one after the other."""
        valid, ready = getattr(self.dut, f"{name}_valid"), getattr(self.dut, f"{name}_ready")
        payload = getattr(self.dut, f"{name}_payload")
        edge = RisingEdge(self.dut.clk)
        rng = random.Random(self.seed ^ len(name))
        for word in words:
            while rng.random() < self.stall:
                await edge
            payload.value = word
            valid.value = 1
            await edge
            while not int(ready.value):
                await edge
            valid.value = 0

    async def receive(self, count: int) -> list[int]:
        """Beats from the output stream: data, route, last from bit 0 up."""
        edge, beats, rng = RisingEdge(self.dut.clk), [], random.Random(self.seed)
        valid, ready, payload = (
            getattr(self.dut, f"o_beat_{n}") for n in ("valid", "ready", "payload")
        )
        while len(beats) < count:
            offered = rng.random() >= self.stall
            ready.value = int(offered)
            await edge
            if offered and int(valid.value):
                beats.append(int(payload.value))
        ready.value = 0
        return beats

    async def write(self, runs: Sequence[tuple[int, int]]) -> None:
        """Random data to runs of (offset, beats), and to `content`."""
        words: list[int] = []
        for offset, beats in runs:
            data = self.rng.randbytes(16 * beats)
            words += [int.from_bytes(data[i : i + 16], "little") for i in range(0, len(data), 16)]
            self.content[BASE + 16 * offset : BASE + 16 * offset + len(data)] = data
        feeding = cocotb.start_soon(self.send("i_write_data", words))
        await self.describe("i_write", runs)
        await feeding

    async def describe(self, name: str, runs: Sequence[tuple[int, int]]) -> None:
        """Descriptors of runs alone into `i_read` or `i_write`; reads take turns in their routes,
        each is a command.
        """
        fields = READ if name == "i_read" else WRITE
        words = []
        for index, (offset, beats) in enumerate(runs):
            command = next(self.commands) % (1 << INDEX_BITS)
            self.command_of[name, offset] = command
            values = {"offset": offset, "beats": beats, "traffic": 3, "command": command}
            values |= {"route": index % 4} if name == "i_read" else {}
            words.append(pack_fields(fields, values, "descriptor"))
        await self.send(name, words)

    async def read(self, runs: Sequence[tuple[int, int]]) -> None:
        """Read runs of (offset, beats) and compare every beat, its route and its `last`."""
        feeding = cocotb.start_soon(self.describe("i_read", runs))
        await self.expect(runs)
        await feeding

    async def expect(self, runs: Sequence[tuple[int, int]]) -> None:
        """Take the beats of `runs` and compare."""
        seen = await self.receive(sum(beats for _, beats in runs))
        expected = [
            int.from_bytes(self.content[address : address + 16], "little")
            | (index % 4) << 128
            | (beat + 1 == beats) << 130
            for index, (offset, beats) in enumerate(runs)
            for beat, address in enumerate(range(BASE + 16 * offset, self.size, 16)[:beats])
        ]
        assert seen == expected, f"seed {self.seed}"

    async def settle(self, most: int = 20_000) -> None:
        """Until nothing is under way."""
        await RisingEdge(self.dut.clk)
        for _ in range(most):
            await RisingEdge(self.dut.clk)
            if int(self.dut.idle.value) and not int(self.dut.writes_pending.value):
                return
        raise AssertionError(f"not idle after {most} cycles, seed {self.seed}")

    def check_memory(self) -> None:
        """Every byte of the memory, not only those written."""
        held = self.ram.read(0, self.size)
        if held != self.content:
            wrong = next(
                i for i, (a, b) in enumerate(zip(held, self.content, strict=True)) if a != b
            )
            raise AssertionError(f"byte {wrong:#x} of the memory is wrong, seed {self.seed}")

    def check_good(
        self, reads: Sequence[tuple[int, int]], writes: Sequence[tuple[int, int]]
    ) -> None:
        """The bursts seen are those of the runs, the memory is right, nothing was reported."""
        self.check_bursts("ar", reads)
        self.check_bursts("aw", writes)
        self.check_memory()
        assert self.monitor.faults == []

    def check_bursts(self, channel: str, runs: Sequence[tuple[int, int]]) -> None:
        """The bursts seen are the runs, cut at 4 KiB and at the longest burst and nowhere else;
        forgets them.
        """
        expected = []
        for offset, beats in runs:
            address, end = BASE + 16 * offset, BASE + 16 * (offset + beats)
            while address < end:
                stop = min(end, address + 16 * MAX_BURST, (address // PAGE + 1) * PAGE)
                expected.append((address, (stop - address) // 16))
                address = stop
        assert self.monitor.bursts[channel] == expected, f"seed {self.seed}"
        self.monitor.bursts[channel].clear()
