# SPDX-License-Identifier: Apache-2.0
"""The SystemRDL says what the register map says, read back through the SystemRDL compiler."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hw_tests.workbench.exports.cores import named_core
from hw_tests.workbench.exports.registers_seen import seen_registers
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import ERROR_CAUSES, WATCHDOG_CYCLES, ErrorCode
from workbench.exports.c_header import compiled_rdl
from workbench.exports.rdl import register_map_rdl


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_register_is_there_with_access_and_reset(configuration: str, tmp_path: Path) -> None:
    core = named_core(configuration)
    seen = seen_registers(compiled_rdl(register_map_rdl(core), tmp_path))
    assert {offset: name for offset, (name, _) in seen.items()} == {
        entry.offset: entry.name for entry in core.registers
    }
    for entry in core.registers:
        _, fields = seen[entry.offset]
        reset = core.resets[entry.name]
        if entry.fields:
            assert set(fields) == {bit.name for bit in entry.fields}
        else:
            assert set(fields) == {"value"}
        for name, (mask, software, hardware, value, pulse) in fields.items():
            bit = next((bit for bit in entry.fields if bit.name == name), None)
            access = bit.access if bit else entry.access
            if entry.mask == 0:  # addresses of 32 bits have no high word
                assert (software, hardware, value) == ("r", "na", 0)
                continue
            assert mask == (bit.mask if bit else entry.mask)
            assert value == reset & mask
            assert software == {"ro": "r", "rw": "rw", "pulse": "w"}[access]
            assert hardware == ("na" if entry.constant else "w" if access == "ro" else "r")
            assert pulse == (access == "pulse")


def test_what_the_map_is_known_for(tmp_path: Path) -> None:
    """Some lines as a person would check them against docs/register-map.md."""
    core = named_core("tiny")
    text = register_map_rdl(core)
    seen = {n: f for n, f in seen_registers(compiled_rdl(text, tmp_path)).values()}
    assert seen["magic"] == {"value": (0xFFFFFFFF, "r", "na", 0x4D454144, False)}
    assert seen["control"]["START"] == (1, "w", "r", 0, True)
    assert seen["control"]["INTERRUPT_ENABLE"] == (4, "rw", "r", 0, False)
    assert seen["window_base_low"] == {"value": (0xFFFFF000, "rw", "r", 0, False)}
    assert seen["watchdog"]["value"][3] == WATCHDOG_CYCLES
    assert seen["sequence3_position"] == {"value": (0xFFFFF, "rw", "r", 0, False)}
    assert seen["cycles_high"] == {"value": (0xFFFFFFFF, "r", "w", 0, False)}
    for code in ErrorCode:
        assert f"{code.name} = {code.value} {{" in text and ERROR_CAUSES[code] in text
    assert core.contract in text.splitlines()[1]


def test_a_table_whose_entries_differ_is_refused() -> None:
    core = named_core("tiny")
    registers = tuple(
        dataclasses.replace(entry, mask=1) if entry.name == "sequence1_tokens" else entry
        for entry in core.registers
    )
    with pytest.raises(ValueError, match="the entries of sequence differ"):
        register_map_rdl(dataclasses.replace(core, registers=registers))
