# SPDX-License-Identifier: Apache-2.0
"""The device of the driver, on the copy engine in place of the chip; `sim` tests run the chip itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cosim import generate
from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.device import DeviceTimeout, RegisterError
from firmware.registers import Registers
from hw_tests.cosim.copy_engine import copy_engine_verilog
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash

CONFIG = CONFIGURATIONS["small"]
BASE = 0x4000_0000


@pytest.fixture
def device():
    with CosimDevice(
        CONFIG,
        (1 << 20) - 5,
        memory_base=BASE,
        verilog=copy_engine_verilog(ports=CONFIG.ports),
        settings=DramSettings(latency_cycles=20),
        timeout_cycles=5000,
    ) as opened:
        yield opened


def start(device: CosimDevice, beats: int) -> None:
    for offset, value in ((0, BASE), (4, BASE + 0x8_0000), (8, beats), (0x1C, 0), (0xC, 1)):
        device.write(offset, value)


def test_a_program_runs_to_its_interrupt(device: CosimDevice) -> None:
    assert device.memory.size == 1 << 20
    device.memory[:256] = np.arange(256)
    assert not device.interrupt
    start(device, 16)
    device.wait(timeout_s=10)
    assert device.interrupt
    assert np.array_equal(device.memory[0x8_0000:0x8_0100], np.arange(256, dtype=np.uint8))


def test_a_program_that_does_not_end_is_a_timeout(device: CosimDevice) -> None:
    with pytest.raises(DeviceTimeout, match="no interrupt within 5000 cycles"):
        device.wait()
    with pytest.raises(DeviceTimeout, match="no interrupt within 0 s"):
        device.wait(timeout_s=0)


def test_a_device_that_falls_silent_is_a_timeout(device: CosimDevice) -> None:
    device.timeout_cycles, device.silence_cycles = 10_000_000, 200_000
    with pytest.raises(DeviceTimeout, match="no DRAM traffic and no interrupt for 200000 cycles"):
        device.wait()


def test_refused_registers_raise(device: CosimDevice) -> None:
    with pytest.raises(RegisterError, match="reading register 0x40 was answered 2"):
        device.read(0x40)
    with pytest.raises(RegisterError, match="writing register 0x40 was answered 2"):
        device.write(0x40, 0)
    for value in (-1, 1 << 32):
        with pytest.raises(ValueError, match=rf"a register holds 0\.\.2\*\*32 - 1, not {value}"):
            device.write(0, value)


def test_verilog_is_generated_once_per_configuration(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    calls = []

    class Export:
        @staticmethod
        def generate_verilog(config):
            calls.append(config)
            return f"// {config.width}"

    monkeypatch.setitem(sys.modules, "rtl_gen.export", Export)
    for name in ("tiny", "small", "tiny"):
        config = CONFIGURATIONS[name]
        assert generate.generated_verilog(config) == f"// {config.width}"
    assert len(calls) == 2


@pytest.mark.sim
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_the_generated_chip_identifies_itself(name: str) -> None:
    config = CONFIGURATIONS[name]
    with CosimDevice(config, 4096) as chip:
        registers = Registers(chip, config)
        registers.check_identity()
        assert registers.contract() == contract_hash(config)
        assert registers.configuration() == config
