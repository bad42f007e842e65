# SPDX-License-Identifier: Apache-2.0
"""A memory in Python behind a memory port, which checks the AXI4 rules every cycle, and what its
benches share.
"""

from __future__ import annotations

import random
from collections import deque

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.dma.bursts import max_burst_beats

__all__ = ["BASE", "Memory", "start", "word"]

BASE = 0x12_3456_7000


def word(beat: int) -> int:
    """Content of the memory: different in every beat."""
    return beat * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


class Memory:
    """An AXI4 slave with `latency` cycles and random stalls of every channel, for a window of
    `window` beats from `base` on.

    bad: addresses that are answered with SLVERR, of a read the beat's, of a write the burst's.
    """

    def __init__(self, dut, *, latency=4, stall=0.0, seed=0, bad=(), base=BASE, window=1 << 16):
        self.dut, self.latency, self.stall, self.bad = dut, latency, stall, bad
        self.base, self.window = base, window
        self.rng = random.Random(salted(seed))
        self.written: dict[int, tuple[int, int]] = {}
        self.read_bursts: list[tuple[int, int]] = []
        self.write_bursts: list[tuple[int, int]] = []
        self.active: list[bool] = []  # R transfers by cycle
        self.most_reads = self.most_writes = 0
        self.outstanding = 0

    def check_burst(self, address: int, length: int) -> None:
        first = (address - self.base) // 16
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
                        self.written[(address - self.base) // 16 + beat] = data
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
            ctx.set(axi.rdata, word((address - self.base) // 16))
            ctx.set(axi.rresp, 2 if address in self.bad else 0)
        else:
            ctx.set(axi.rvalid, 0)


def start(dut, memory, *benches, main):
    """Simulate a port with its memory and `benches` until `main` has returned."""

    async def setup(ctx):
        ctx.set(dut.window_base, memory.base)
        ctx.set(dut.window_beats, memory.window)

    simulate(dut, main, background=[setup, memory.run, *benches])
