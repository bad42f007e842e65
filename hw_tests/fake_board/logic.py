# SPDX-License-Identifier: Apache-2.0
"""What is programmed into the logic of a fake board: a simulated or golden device, and the memory
as that sees it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosim.device import CosimDevice
from firmware.device import Device, RegisterError
from firmware.golden_device import GoldenDevice
from meadow.golden.machine.machine import Machine
from meadow.spec.config import AcceleratorConfig
from meadow.spec.registers import Status

__all__ = ["Logic", "golden_logic", "simulated_logic"]

LINE_BYTES = 64
_STATUS = 0x104
_OKAY, _SLVERR = 0, 2


class Logic:
    """One device behind the processor's bus and cache.

    device: without a driver. cpu: the memory as the processor sees it. coherent: the cache is kept
    alike by hardware, else spans are copied when the client asks for it, in whole lines.
    """

    slice_cycles = 20_000

    def __init__(self, device: Device, cpu: np.ndarray, *, coherent: bool) -> None:
        self.device = device
        self._cpu = cpu
        self._coherent = coherent
        if coherent and isinstance(device, CosimDevice):
            device.simulation.memory = device.memory = cpu
            device.simulation.configure()
        if coherent and isinstance(device, GoldenDevice):
            device.memory = cpu
            device.machine = Machine(device.config, cpu)

    def access(self, store: bool, offset: int, value: int) -> tuple[int, int]:
        """(value, response) of one load or store."""
        # The device's own methods would look after each access whether it was refused, which is the
        # client's to do.
        if isinstance(self.device, CosimDevice):
            simulation = self.device.simulation
            return (0, simulation.write(offset, value)) if store else simulation.read(offset)
        try:
            if not store:
                return self.device._read(offset), _OKAY
            self.device._write(offset, value)
            return 0, _OKAY
        except RegisterError:
            return 0, _SLVERR

    @property
    def busy(self) -> bool:
        """Whether time must pass for the device to come to an end."""
        return bool(self.access(False, _STATUS, 0)[0] & Status.BUSY)

    @property
    def interrupt(self) -> bool:
        """Level of the interrupt."""
        return self.device.interrupt

    def advance(self) -> None:
        """Let some time pass."""
        if isinstance(self.device, CosimDevice):
            self.device.simulation.run(self.slice_cycles, until_interrupt=not self.interrupt)

    def sync(self, first: int, size: int, *, for_device: bool) -> bool:
        """Copy lines from the cache to memory, or the other way; False for a span beyond it."""
        if not 0 <= first <= first + size <= self._cpu.size:
            return False
        if not self._coherent:
            start = first // LINE_BYTES * LINE_BYTES
            span = slice(start, -(-(first + size) // LINE_BYTES) * LINE_BYTES)
            source, target = self._cpu, self.device.memory
            if not for_device:
                source, target = target, source
            target[span] = source[span]
        return True


def simulated_logic(config: AcceleratorConfig, cpu: np.ndarray, base: int, coherent: bool) -> Logic:
    """The RTL of a configuration."""
    return Logic(CosimDevice(config, cpu.size, memory_base=base), cpu, coherent=coherent)


def golden_logic(config: AcceleratorConfig, cpu: np.ndarray, base: int, coherent: bool) -> Logic:
    """The golden machine of a configuration, which has no time."""
    return Logic(GoldenDevice(config, cpu.size, memory_base=base), cpu, coherent=coherent)


MakeLogic = Callable[[AcceleratorConfig, np.ndarray, int, bool], Logic]
