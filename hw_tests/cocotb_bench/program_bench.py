# SPDX-License-Identifier: Apache-2.0
"""Programs of `hw_tests.mutation.programs` on the simulated chip: what the golden machine leaves in
the window, and the error that it ends with, are what the chip must show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np

from cocotb_bench.design import design_config
from cocotb_bench.device import CocotbDevice, drive
from cocotb_bench.rules import AxiRules
from cocotb_bench.unknowns import FOUR_STATES, UnknownWatch, axi_channels, inner_streams
from firmware.golden_device import GoldenDevice
from firmware.registers import Registers
from hw_tests.mutation.programs import Program
from meadow.golden.machine.machine import Machine
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import ErrorCode

__all__ = ["ProgramBench"]

_WATCHDOG = 20_000
_OTHER_BITS = 1 << 8


class ProgramBench:
    """A chip out of reset, whose memory is another for each program.

    In a simulator of four states it also sees that nothing is unknown.
    """

    def __init__(self, device: CocotbDevice) -> None:
        self.device = device

    @classmethod
    async def start(cls, dut: Any, *units: str) -> ProgramBench:
        """The chip, with `AxiRules` on every port; `units` whose streams are looked at too."""
        config = design_config()
        if FOUR_STATES:
            watch = UnknownWatch(dut, axi_channels(dut, config.ports))
            for unit in units:
                watch.streams += inner_streams(getattr(dut.accelerator, unit))
            cocotb.start_soon(watch.run())
        device = await CocotbDevice.start(dut, config, BEAT_BYTES)
        bench = cls(device)
        bench.rules = AxiRules(device)
        cocotb.start_soon(bench.rules.run())
        return bench

    rules: AxiRules

    async def run(self, programs: Sequence[Program]) -> None:
        """Each of them, with the pauses that it asks for."""
        for program in programs:
            await self._run(program)

    async def _run(self, program: Program) -> None:
        config, device = self.device.config, self.device
        memory = program.memory(config)
        golden = GoldenDevice(config, BEAT_BYTES, memory_base=program.base)
        golden.memory = program.memory(config)
        golden.machine = Machine(config, golden.memory)
        expected = program.run(golden, config)
        device.map(memory, program.base)
        self._pause(program)
        registers = Registers(device, config)
        await drive(registers.set_watchdog, _WATCHDOG)
        error = await drive(program.run, device, config)
        assert not device.bus.outside, f"{program.name}: accesses beyond the window"
        self.rules.check()
        if expected is None:
            assert error is None, f"{program.name}: {error}"
            seen, wanted = program.seen(memory), program.seen(golden.memory)
            wrong = np.flatnonzero(seen != wanted)
            assert not wrong.size, f"{program.name}: byte {wrong[0]:#x}, {wrong.size} differ"
            counters = await drive(registers.counters)
            told = Registers(golden, config).counters()
            for name in (name for name in told if name.startswith("bytes_")):
                assert counters[name] == told[name], f"{program.name}: {name}"
        else:
            # Golden checks more of a stream than the chip, which reads to the end of some.
            codes = {expected[0], *([None] if expected[0] == ErrorCode.STREAM.name else [])}
            assert (error and error[0]) in codes, f"{program.name}: {error}, not {expected}"

    def _pause(self, program: Program) -> None:
        stalls = program.settings.stalls
        chances = stalls if isinstance(stalls, tuple) else (stalls,) * 5
        chance = max(chances) / _OTHER_BITS
        self.device.pause(program.seed, 0.0)
        self.device.ports.pause(program.seed, min(chance, 0.5), longest=4)
