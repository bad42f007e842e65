# SPDX-License-Identifier: Apache-2.0
"""The Verilog in a cocotb simulation as a device of the driver.

Everything of the driver works on it, `Session` included. The driver does not know of cocotb, so a
test calls it through `drive`:

    device = await CocotbDevice.start(dut, config, Session.window_bytes(image))
    session = Session(device, image)
    result = await drive(session.prefill, [3, 1, 4])
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, First, ReadOnly, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from cocotb_bench.memory import AxiMemory, BusMemory, pauses
from firmware.device import Device, DeviceTimeout
from meadow.spec.config import AcceleratorConfig

__all__ = ["RESET_CYCLES", "TIMES_VARIABLE", "CocotbDevice", "Observer", "drive"]

TIMES_VARIABLE = "MEADOW_TIMES"
"""Environment variable that names a file to which the time of every interrupt is added, for what
must not become slower.
"""
RESET_CYCLES = 4
"""For which `rst` is held: the least that the accelerator needs. Its register file takes nothing
before the second cycle after it."""
_PERIOD_NS = 4
_PAGE_BYTES = 4096
_TIMEOUT_CYCLES = 400_000

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Observer(Protocol):
    """Who looks on what the driver does, such as `cocotb_bench.coverage.Coverage`."""

    def read(self, offset: int, value: int) -> None: ...

    def written(self, offset: int, value: int) -> None: ...


async def drive(
    function: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Result:
    """What a function of the driver returns, or raises, while the simulation goes on."""
    return await bridge(function)(*arguments, **named)


class CocotbDevice(Device):
    """`dut`, a `meadow_top` of `config`, between an `AxiLiteMaster` and an `AxiMemory`.

    Parameters
    ----------
    memory_bytes: size of the DMA window, rounded up to 4 KiB.
    memory_base: byte address of the window.
    timeout_cycles: a program longer than this is a DeviceTimeout.

    Members
    -------
    dut: the design.
    bus: what the ports see, BusMemory; ports: AxiMemory.
    master: of the registers.
    observer: told of every access to a register that was not refused, if there is one.

    AssertionError if the register port answers with an error, which no access may lead to.
    """

    observer: Observer | None = None

    def __init__(
        self,
        dut: Any,
        config: AcceleratorConfig,
        memory_bytes: int,
        *,
        memory_base: int = 0x1000_0000,
        timeout_cycles: int = _TIMEOUT_CYCLES,
    ) -> None:
        self.dut, self.config = dut, config
        self.timeout_cycles = timeout_cycles
        self.memory_base = memory_base
        size = -(-memory_bytes // _PAGE_BYTES) * _PAGE_BYTES
        self.bus = BusMemory(np.zeros(size, np.uint8), memory_base, config.address_bits)
        self.ports = AxiMemory(dut, config.ports, self.bus)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        self.memory = self.bus.window

    @classmethod
    async def start(
        cls, dut: Any, config: AcceleratorConfig, memory_bytes: int, **named: Any
    ) -> Self:
        """A device with a running clock, out of reset."""
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, _PERIOD_NS, unit="ns").start())
        device = cls(dut, config, memory_bytes, **named)
        await device.reset()
        return device

    def map(self, memory: np.ndarray, base: int) -> None:
        """Another memory as the window, from byte address `base` on."""
        self.memory = self.bus.window = memory
        self.memory_base = self.bus.base = base

    async def reset(self, cycles: int = RESET_CYCLES) -> None:
        """Hold `rst` for some cycles, at any time."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)
        self._is_open = True

    def pause(self, seed: int, chance: float, *, longest: int = 1) -> None:
        """Random rests on every channel of every interface; a chance of 0 ends them."""
        self.ports.pause(seed, chance, longest=longest)
        write, read = self.master.write_if, self.master.read_if
        ends = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        for index, channel in enumerate(ends):
            rests = pauses(seed - 1 - index, chance, longest)
            channel.set_pause_generator(rests if chance else None)
            channel.pause = False

    def read(self, offset: int) -> int:
        """See Device."""
        value = super().read(offset)
        if self.observer is not None:
            self.observer.read(offset, value)
        return value

    def write(self, offset: int, value: int) -> None:
        """See Device."""
        super().write(offset, value)
        if self.observer is not None:
            self.observer.written(offset, value)

    def _read(self, offset: int) -> int:
        return resume(self._bus_read)(offset)

    def _write(self, offset: int, value: int) -> None:
        resume(self._bus_write)(offset, value)

    def _wait(self, timeout_s: float | None) -> None:
        """A timeout in seconds means nothing to a simulation: `timeout_cycles` does."""
        resume(self._until_interrupt)()

    def _interrupt(self) -> bool:
        return bool(int(self.dut.irq.value))

    def _close(self) -> None:
        """The simulation goes on without it."""

    async def _bus_read(self, offset: int) -> int:
        answer = await self.master.read(offset, 4)
        assert answer.resp == AxiResp.OKAY, f"a read of {offset:#x} was answered {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def _bus_write(self, offset: int, value: int) -> None:
        answer = await self.master.write(offset, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY, f"a write of {offset:#x} was answered {answer.resp!r}"

    async def _until_interrupt(self) -> None:
        await ReadOnly()
        if not int(self.dut.irq.value):
            limit = ClockCycles(self.dut.clk, self.timeout_cycles)
            if await First(RisingEdge(self.dut.irq), limit) is limit:
                raise DeviceTimeout(f"still busy after {self.timeout_cycles} cycles")
        path = os.environ.get(TIMES_VARIABLE)
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{get_sim_time('ns')}\n")
        await RisingEdge(self.dut.clk)
