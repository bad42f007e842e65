# SPDX-License-Identifier: Apache-2.0
"""Registers by name, on the golden device."""

from __future__ import annotations

import numpy as np
import pytest

from firmware.device import DeviceTimeout, RegisterError
from firmware.golden_device import GoldenDevice
from firmware.registers import Registers
from meadow.spec.commands import Command, Opcode, Outputs
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import COUNTERS, Status, register_map, sequence_offset
from meadow.spec.step import Sequence, Step

CONFIG = CONFIGURATIONS["tiny"]


@pytest.fixture
def registers() -> Registers:
    return Registers(GoldenDevice(CONFIG, 4096, memory_base=0x12_3456_7000), CONFIG)


def test_the_identity_is_read_back(registers: Registers) -> None:
    registers.check_identity()
    assert registers.contract() == contract_hash(CONFIG)
    assert registers.configuration() == CONFIG


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
    with pytest.raises(RegisterError, match=f"offset {offset:#x}"):
        registers.device.read(offset)
    with pytest.raises(RegisterError):
        registers.device.write(offset, 0)


def test_read_only_registers_are_not_written(registers: Registers) -> None:
    with pytest.raises(RegisterError, match="no writable register at offset 0x0"):
        registers.write("magic", 1)
    with pytest.raises(ValueError, match="a register holds"):
        registers.write("rows", 1 << 32)


class NeverIdle(GoldenDevice):
    """Interrupts, but stays busy for ever."""

    def read(self, offset: int) -> int:
        value = super().read(offset)
        status = next(r.offset for r in register_map(self.config) if r.name == "status")
        return value | Status.BUSY if offset == status else value


def test_a_device_that_stays_busy_is_a_timeout() -> None:
    config = CONFIGURATIONS["tiny"]
    device = NeverIdle(config, 1 << 16)
    end = Command(Opcode.END).encode()
    device.memory[: len(end)] = np.frombuffer(end, np.uint8)
    registers = Registers(device, config)
    registers.set_window()
    with pytest.raises(DeviceTimeout, match="still busy 100000 register reads after its interrupt"):
        registers.run(0, 1)
