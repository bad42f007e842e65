# SPDX-License-Identifier: Apache-2.0
"""The device of the driver, on the copy engine in place of the chip; `sim` tests run the chip
itself.
"""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from cosim import generate
from cosim.device import CosimDevice
from cosim.library import DramSettings, ProtocolError
from firmware.device import DeviceClosed, DeviceTimeout, RegisterError
from firmware.registers import Registers
from hw_tests.cosim.copy_engine import copy_engine_verilog
from hw_tests.firmware.test_device import BAD_OFFSETS, BAD_VALUES
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


def test_an_error_of_the_register_port_is_a_violation(device: CosimDevice) -> None:
    """Of the chip nobody may see one: on a board it ends the program, or the operating system."""
    with pytest.raises(ProtocolError, match="s_axi_r: a read of register 0x40 was answered SLVERR"):
        device.read(0x40)
    with pytest.raises(ProtocolError, match="s_axi_b: a write of register 0x44 was answered SLV"):
        device.write(0x44, 0)
    assert device.simulation.write(0x48, 0) == 2 and device.simulation.read(0x40) == (0, 2)
    with pytest.raises(ProtocolError, match="2 violations"):
        device.close()


def test_values_that_no_register_has_raise(device: CosimDevice) -> None:
    for value in (-1, 1 << 32):
        with pytest.raises(ValueError, match=rf"a register holds 0\.\.2\*\*32 - 1, not {value}"):
            device.write(0, value)


@pytest.mark.parametrize("offset", BAD_OFFSETS, ids=repr)
def test_an_offset_that_no_register_has_never_reaches_another(
    device: CosimDevice, offset: object
) -> None:
    device.write(0, 0x1234)
    cycle = device.simulation.cycle
    for access in (
        lambda: device.write(offset, 7),  # pyright: ignore[reportArgumentType]
        lambda: device.read(offset),  # pyright: ignore[reportArgumentType]
        lambda: device.simulation.write(offset, 7),  # pyright: ignore[reportArgumentType]
        lambda: device.simulation.read(offset),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(RegisterError, match="there is no register at offset"):
            access()
    assert device.simulation.cycle == cycle and device.read(0) == 0x1234


@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_a_value_that_no_register_holds_is_not_wrapped(device: CosimDevice, value: object) -> None:
    device.write(0, 0x1234)
    for access in (device.write, device.simulation.write):
        with pytest.raises(RegisterError, match=r"a register holds 0\.\.2\*\*32 - 1, not "):
            access(0, value)  # pyright: ignore[reportArgumentType]
    assert device.read(0) == 0x1234
    device.write(np.int16(0), np.uint32(0xFFFF_FFFF))  # pyright: ignore[reportArgumentType]
    assert device.read(0) == 0xFFFF_FFFF


def test_whatever_is_asked_after_close_is_an_error_that_says_so(device: CosimDevice) -> None:
    device.memory[:16] = 5
    view, guards, simulation = device.memory, device.guards, device.simulation
    assert device.read(0) == 0 and len(guards) == 2
    device.close()
    device.close()
    simulation.close()
    assert device.closed and simulation.closed and view[:17].tolist() == [5] * 16 + [0]
    registers = Registers(device, CONFIG)
    for use in (
        lambda: device.read(0),
        lambda: device.write(0, 1),
        lambda: device.wait(1.0),
        lambda: device.interrupt,
        lambda: device.memory,
        lambda: device.guards,
        lambda: device.label_commands(["a"]),
        lambda: device.__enter__(),
        lambda: registers.contract(),
        lambda: registers.counters(),
        lambda: registers.set_window(),
        lambda: registers.reset(),
        lambda: simulation.read(0),
        lambda: simulation.write(0, 1),
        lambda: simulation.run(1),
        lambda: simulation.reset(),
        lambda: simulation.configure(latency_cycles=3),
        lambda: simulation.take_timeline(),
        lambda: simulation.record_bursts(),
        lambda: simulation.take_bursts(),
        lambda: simulation.check_protocol(),
        lambda: simulation.interrupt,
        lambda: simulation.quiet,
        lambda: simulation.cycle,
        lambda: simulation.counters,
        lambda: simulation.dram_counters,
        lambda: simulation.__enter__(),
    ):
        with pytest.raises(DeviceClosed, match="^the device is closed"):
            use()
    assert simulation.settings.latency_cycles == 20


def test_a_device_ends_with_its_simulation(device: CosimDevice) -> None:
    device.simulation.close()
    with pytest.raises(DeviceClosed):
        device.read(0)
    device.close()


def test_a_close_that_reports_something_reports_it_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "timeline.json"
    path.parent.mkdir()
    device = CosimDevice(
        CONFIG, 4096, verilog=copy_engine_verilog(ports=CONFIG.ports), timeline=path
    )
    path.parent.rmdir()
    with pytest.raises(OSError, match="cannot write the timeline"):
        device.close()
    device.close()
    with pytest.raises(DeviceClosed):
        device.read(0)


def test_a_file_that_cannot_be_written_is_named_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "none" / "file"
    device = CosimDevice.__new__(CosimDevice)
    with pytest.raises(OSError, match="cannot write the timeline: No such file or directory"):
        device.__init__(CONFIG, 4096, timeline=path)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(DeviceClosed):
        device.read(0)
    device.close()


def test_a_simulation_cannot_be_copied_and_freed_twice(device: CosimDevice) -> None:
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a simulation cannot be copied"):
            duplicate(device.simulation)


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
