# SPDX-License-Identifier: Apache-2.0
"""One memory behind all AXI ports of an accelerator: a cocotbext-axi `AxiRam` each, the same bytes.

The rams see `BusMemory` in place of bytes of their own, so that a bench may refuse addresses and
sees what is accessed beyond the window.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from cocotbext.axi import AxiBus, AxiRam, AxiResp

__all__ = ["CHANNELS", "AxiMemory", "BusMemory", "channels", "pauses"]

CHANNELS = ("aw", "w", "b", "ar", "r")
_QUEUE = 4
"""Bursts, beats or responses that a ram holds of each channel."""


def pauses(seed: int, chance: float, longest: int = 1) -> Iterator[bool]:
    """Random rests of up to `longest` cycles, begun with `chance` in a cycle without one."""
    rng = random.Random(seed)
    for _ in itertools.count():
        rests = rng.randrange(1, longest + 1) if rng.random() < chance else 0
        yield from [True] * rests
        yield False


def channels(ram: AxiRam) -> dict[str, Any]:
    """The memory's ends of the five channels, by CHANNELS."""
    write, read = ram.write_if, ram.read_if
    ends = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
    return dict(zip(CHANNELS, ends, strict=True))


class BusMemory:
    """The address space of the bus, of which `window` is mapped from byte address `base` on.

    refused: byte addresses whose access is answered with `answer`; an access elsewhere than in the
    window is too. outside: those that lay elsewhere, which no device should do.
    """

    def __init__(self, window: np.ndarray, base: int, address_bits: int) -> None:
        self.window, self.base = window, base
        self.refused: set[int] = set()
        self.answer = AxiResp.SLVERR
        self.outside: list[int] = []
        self._size = 1 << address_bits

    def __len__(self) -> int:
        return self._size

    def _place(self, where: slice) -> slice:
        first, end = where.start - self.base, where.stop - self.base
        if first < 0 or end > self.window.size:
            self.outside.append(where.start)
            raise IndexError(f"nothing is mapped at {where.start:#x}")
        if self.refused and not self.refused.isdisjoint(range(where.start, where.stop)):
            raise IndexError(f"an access to {where.start:#x} is refused")
        return slice(first, end)

    def __getitem__(self, where: slice) -> bytes:
        return self.window[self._place(where)].tobytes()

    def __setitem__(self, where: slice, data: bytes) -> None:
        self.window[self._place(where)] = np.frombuffer(data, np.uint8)


class AxiMemory:
    """AxiRams on `m_axi0_*` .. of a design, which share `memory`.

    rams: one for each port.
    """

    def __init__(self, dut: Any, ports: int, memory: BusMemory) -> None:
        self.memory = memory
        self.rams = [
            AxiRam(AxiBus.from_prefix(dut, f"m_axi{port}"), dut.clk, dut.rst, mem=memory)
            for port in range(ports)
        ]
        for ram in self.rams:
            for channel in channels(ram).values():
                channel.queue_occupancy_limit = _QUEUE
            for channel, name in ((ram.read_if.r_channel, "r"), (ram.write_if.b_channel, "b")):
                self._answer_as_said(channel, f"{name}resp")

    def _answer_as_said(self, channel: Any, field: str) -> None:
        """A ram answers what it cannot do with SLVERR; this makes it the answer of the memory."""
        send = channel.send

        async def respond(answer: Any) -> None:
            if getattr(answer, field) == AxiResp.SLVERR:
                setattr(answer, field, self.memory.answer)
            await send(answer)

        channel.send = respond

    def pause(
        self, seed: int, chance: float, *, longest: int = 1, only: Sequence[str] = CHANNELS
    ) -> None:
        """Random rests of the memory's ends of the channels; a chance of 0 ends them."""
        for port, ram in enumerate(self.rams):
            for index, name in enumerate(CHANNELS):
                channel = channels(ram)[name]
                rests = pauses(seed + 8 * port + index, chance, longest)
                channel.set_pause_generator(rests if chance and name in only else None)
                channel.pause = False

    def silence(self, name: str, silent: bool = True) -> None:
        """Hold a channel of all ports until it is called with `silent` False."""
        for ram in self.rams:
            channel = channels(ram)[name]
            channel.clear_pause_generator()
            channel.pause = silent
