# SPDX-License-Identifier: Apache-2.0
"""Registers by name, on the golden device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import firmware.registers
from firmware.device import DeviceError, DeviceTimeout, RegisterError
from firmware.golden_device import GoldenDevice
from firmware.registers import ContractMismatch, Registers
from meadow.spec.commands import Command, Opcode, Outputs
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import (
    COUNTERS,
    REFUSED,
    WATCHDOG_CYCLES,
    Control,
    ErrorCode,
    Refusal,
    Status,
    register_map,
    sequence_offset,
)
from meadow.spec.step import Sequence, Step

CONFIG = CONFIGURATIONS["tiny"]


@pytest.fixture
def registers() -> Registers:
    return Registers(GoldenDevice(CONFIG, 4096, memory_base=0x12_3456_7000), CONFIG)


def test_the_identity_is_read_back(registers: Registers) -> None:
    registers.check_identity()
    assert registers.contract() == contract_hash(CONFIG)
    assert registers.configuration() == CONFIG


def test_an_image_for_parts_that_the_device_does_not_have_is_told_so() -> None:
    device = GoldenDevice(replace(CONFIG, codecs=("raw", "rice"), baseline=False), 4096)
    with pytest.raises(ContractMismatch) as error:
        Registers(device, CONFIG).check_identity()
    assert (
        ", for which the device has no decoder of codec dictionary and no softmax unit for "
        "dataflow gemm: generate the device" in str(error.value)
    )
    found = Registers(device, CONFIG).configuration()
    assert found == device.config and found.codecs == ("raw", "rice") and not found.baseline


def test_parts_are_named_only_where_they_are_missing() -> None:
    """A device with more than the image needs is one of another configuration all the same."""
    less = replace(CONFIG, codecs=("raw",), baseline=False)
    with pytest.raises(ContractMismatch, match=r"the image needs \w{64}: generate the device"):
        Registers(GoldenDevice(CONFIG, 4096), less).check_identity()


def test_size_and_ram_of_the_activation_memory_are_read_back() -> None:
    config = replace(CONFIG, activation_words=21 * 256, activation_ram="ultra")
    registers = Registers(GoldenDevice(config, 4096), config)
    assert registers.offset("config_activation_ram") == 0x08C
    assert registers.read("config_activation_ram") == 1
    assert registers.read("config_activation_words") == 5376
    assert registers.configuration() == config
    with pytest.raises(ContractMismatch, match=r"the image needs \w{64}: generate the device"):
        Registers(registers.device, replace(config, activation_ram="block")).check_identity()


def test_every_register_can_be_read(registers: Registers) -> None:
    for entry in register_map(CONFIG):
        assert registers.offset(entry.name) == entry.offset
        registers.read(entry.name)


def test_wide_registers_have_64_bits(registers: Registers) -> None:
    registers.set_window()
    assert registers.read_wide("window_base") == 0x12_3456_7000
    assert registers.read("window_base_high") == 0x12
    assert registers.read("window_beats") == 256


def test_a_counter_that_overflows_between_two_reads_is_read_again(registers: Registers) -> None:
    values = iter([0, 0xFFFFFFFF, 1, 3, 1])
    registers.read = lambda name: next(values)  # pyright: ignore[reportAttributeAccessIssue]
    assert registers.read_wide("cycles") == 1 << 32 | 3


def test_a_step_is_written_to_the_sequence_table(registers: Registers) -> None:
    step = Step((Sequence(64, 3, 2, 0), Sequence(128, 0, 5, 2)), Outputs.LOGITS, True)
    registers.set_step(step)
    read = registers.device.read
    assert [registers.read(n) for n in ("rows", "sequences", "outputs", "head_all")] == [7, 2, 2, 1]
    names = ("kv_base", "position", "tokens", "first_row")
    assert [read(sequence_offset(1, name)) for name in names] == [128, 0, 5, 2]


def test_a_step_too_large_is_refused_before_anything_is_written(registers: Registers) -> None:
    with pytest.raises(ValueError, match="a chunk holds 64 tokens, not 65"):
        registers.set_step(Step((Sequence(0, 0, 65),)))
    assert registers.read("rows") == 0


def test_counters_have_the_names_of_the_contract(registers: Registers) -> None:
    assert list(registers.counters()) == [name for name, _ in COUNTERS]


@pytest.mark.parametrize("offset", [0x3C, 0xFFC, 0x2])
def test_unmapped_offsets_are_refused(registers: Registers, offset: int) -> None:
    with pytest.raises(RegisterError, match=f"offset {offset:#x}") as read:
        registers.device.read(offset)
    with pytest.raises(RegisterError, match=f"offset {offset:#x}") as write:
        registers.device.write(offset, 0)
    asked = offset != 0x2  # no device has a register there
    assert read.value.rule == (Refusal.NO_REGISTER if asked else 0)
    assert write.value.rule == (Refusal.NOT_WRITABLE if asked else 0)
    assert read.value.offset == write.value.offset == offset
    if asked:
        assert str(read.value) == (
            f"the device refused a read at offset {offset:#x}: a read of an offset where no "
            "register is, which gave 0"
        )
        assert str(write.value).startswith(f"the device refused 0x0 at offset {offset:#x}: a wri")
    registers.write("rows", 3)  # nothing is left of it
    assert registers.read("rows") == 3 and registers.read("refused") == 0


class Skipping(GoldenDevice):
    """Whoever has this device does not look whether an access was refused."""

    def skip(self, offset: int, value: int) -> None:
        self._write(offset, value)


def test_a_refusal_that_nobody_has_looked_at_is_told_with_its_own_offset() -> None:
    """And once: the next write is like any other. Another client's is forgotten at the start."""
    device = Skipping(CONFIG, 4096)
    registers = Registers(device, CONFIG)
    for read_first in (False, True):
        device.skip(0x104, 5)
        with pytest.raises(
            RegisterError,
            match="refused an access to offset 0x104 before that to offset 0x1(08|1c|04): a write "
            "to a read-only register",
        ) as error:
            registers.read("program") if read_first else registers.write("rows", 2)
        assert error.value.offset == 0x104 and error.value.rule == Refusal.NOT_WRITABLE
        registers.write("rows", 4)
    device.skip(0x104, 5)
    registers.forget_refusals()
    registers.write("rows", 5)
    assert registers.read("rows") == 5


def test_nothing_but_the_magic_is_read_of_a_device_that_may_be_another() -> None:
    class Other(GoldenDevice):
        def _read(self, offset: int) -> int:
            assert offset == 0
            return 0

    with pytest.raises(ContractMismatch, match="no MEADOW device: magic is 0x00000000"):
        Registers(Other(CONFIG, 4096), CONFIG).check_identity()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("rows", 1 << 16, "that has the bits 0xffff only"),
        ("window_base_low", 0x800, "that has the bits 0xfffff000 only"),
        ("control", 16, "that has the bits 0xf only"),
        ("refused", 64, "that has the bits 0x3f only"),
        ("magic", 1, "that is read-only"),
        ("refused_offset", 0, "that is read-only"),
    ],
)
def test_a_refused_value_is_named_with_its_register_and_the_reason(
    registers: Registers, name: str, value: int, why: str
) -> None:
    before = {entry.name: registers.read(entry.name) for entry in register_map(CONFIG)}
    with pytest.raises(RegisterError) as error:
        registers.write(name, value)
    assert str(error.value) == f"the device refused {value:#x} for register {name}: {why}"
    assert {entry.name: registers.read(entry.name) for entry in register_map(CONFIG)} == before | {
        "refused_offset": registers.offset(name)
    }


def test_a_write_that_reaches_the_device_in_parts_says_so(registers: Registers) -> None:
    """No driver of ours does that; a bus between may."""
    device = registers.device
    assert isinstance(device, GoldenDevice)
    write = device._write
    device._write = lambda offset, value: (  # pyright: ignore[reportAttributeAccessIssue]
        write(offset, value) if offset == REFUSED else device._refuse(Refusal.PARTIAL, offset)
    )
    with pytest.raises(RegisterError, match="for register rows: only a part of it was written"):
        registers.write("rows", 1)


@pytest.mark.parametrize("name", ["statsu", "", "x" * 5000, "contract_hash8", None, 4])
def test_a_name_that_no_register_has_is_told(registers: Registers, name: object) -> None:
    wrong: Any = name
    for access in (
        lambda: registers.read(wrong),
        lambda: registers.write(wrong, 0),
        lambda: registers.offset(wrong),
        lambda: registers.read_wide(wrong),
        lambda: registers.write_wide(wrong, 0),
    ):
        with pytest.raises(RegisterError, match=r"^there is no register .*docs/register-map\.md"):
            access()
    with pytest.raises(RegisterError, match="no register 'statsu': did you mean status"):
        registers.read("statsu")


def test_read_only_registers_are_not_written(registers: Registers) -> None:
    with pytest.raises(RegisterError, match="refused 0x1 for register magic: that is read-only"):
        registers.write("magic", 1)
    with pytest.raises(ValueError, match="a register holds"):
        registers.write("rows", 1 << 32)


def test_the_watchdog_keeps_its_default_until_it_is_set(registers: Registers) -> None:
    assert registers.read("watchdog") == WATCHDOG_CYCLES
    registers.set_watchdog(0)
    assert registers.read("watchdog") == 0


class Memory(GoldenDevice):
    """Status bits beside those of the golden device; while BUSY is one of them, writes but to
    `control` and `refused` are refused.
    """

    extra = Status(0)

    def _read(self, offset: int) -> int:
        value = super()._read(offset)
        return value | self.extra if self.name(offset) == "status" else value

    def _write(self, offset: int, value: int) -> None:
        name = self.name(offset)
        refused = value & Control.START if name == "control" else name != "refused"
        if Status.BUSY in self.extra and refused:
            self._refuse(Refusal.BUSY, offset)
        else:
            super()._write(offset, value)

    def name(self, offset: int) -> str:
        return {entry.offset: entry.name for entry in register_map(self.config)}[offset]


@pytest.fixture
def memory() -> Memory:
    device = Memory(CONFIG, 1 << 16)
    end = Command(Opcode.END).encode()
    device.memory[: len(end)] = np.frombuffer(end, np.uint8)
    return device


def ready(device: GoldenDevice) -> Registers:
    registers = Registers(device, CONFIG)
    registers.set_window()
    registers.set_step(Step((Sequence(0, 0, 1),)))
    return registers


def test_a_run_ends_with_a_device_that_takes_the_next(memory: Memory) -> None:
    registers = ready(memory)
    for _ in range(2):
        registers.run_program(0, 1)
        assert not memory.interrupt and registers.read("status") == 0


def test_the_exception_carries_the_error_registers_that_the_driver_has_cleared(
    memory: Memory,
) -> None:
    """`run` acknowledges: registers, status and interrupt are clear again, the counters are not."""
    registers = ready(memory)
    memory.memory[1] ^= 1
    with pytest.raises(DeviceError) as caught:
        registers.run_program(0, 1)
    error = caught.value
    assert (error.code, error.command, error.address, error.port, error.stuck) == (
        *(ErrorCode.COMMAND_CHECK, 0, 0, 0),
        False,
    )
    names = ("code", "command", "address_low", "address_high", "port")
    assert [registers.read(f"error_{name}") for name in names] == [0] * 5
    assert registers.read("status") == 0 and not memory.interrupt
    assert registers.counters()["bytes_commands"] > 0


@pytest.fixture
def few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A soft reset gives up sooner."""
    assert firmware.registers._RESET_READS == 100_000
    monkeypatch.setattr(firmware.registers, "_RESET_READS", 1000)


@pytest.mark.usefixtures("few_reads")
def test_an_error_of_a_memory_that_does_not_answer_says_so(memory: Memory) -> None:
    registers = ready(memory)
    memory.memory[1] ^= 1
    wait = memory.wait

    def stuck(timeout_s: float | None = None) -> None:
        wait(timeout_s)
        memory.extra = Status.BUSY | Status.STUCK

    memory.wait = stuck  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(
        DeviceError, match="COMMAND_CHECK at command 0.*memory does not answer"
    ) as e:
        registers.run_program(0, 1)
    assert e.value.stuck and e.value.code == ErrorCode.COMMAND_CHECK
    # Until the memory answers nothing else can run, and the reason is named again.
    with pytest.raises(RegisterError, match="register program: it is stuck: the memory does not"):
        registers.run_program(0, 1)
    with pytest.raises(DeviceTimeout, match="after a soft reset: the memory does not answer"):
        registers.reset()
    memory.extra = Status(0)
    memory.wait = wait  # pyright: ignore[reportAttributeAccessIssue]
    memory.memory[1] ^= 1
    registers.reset()
    registers.run_program(0, 1)


@pytest.mark.usefixtures("few_reads")
def test_a_busy_device_refuses_and_the_reason_is_named(memory: Memory) -> None:
    registers = ready(memory)
    memory.extra = Status.BUSY
    with pytest.raises(RegisterError, match="refused 0x1 for register rows: it is busy"):
        registers.set_step(Step((Sequence(0, 0, 1),)))
    with pytest.raises(DeviceTimeout, match="busy 1000 register reads after a soft reset"):
        registers.reset()


@pytest.mark.parametrize(("name", "value"), [("rows", 0), ("rows", 65), ("sequences", 5)])
def test_a_step_that_does_not_fit_is_refused_at_the_start(
    memory: Memory, name: str, value: int
) -> None:
    """Session checks steps before; this is for those who write registers themselves."""
    registers = ready(memory)
    registers.write(name, value)
    found = r"takes 1\.\.64 rows of 1\.\.4 sequences, not \d+ of \d+"
    with pytest.raises(RegisterError, match=found) as caught:
        registers.run_program(0, 1)
    assert f"{value}" in str(caught.value) and registers.read("status") == 0
