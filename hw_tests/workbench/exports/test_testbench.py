# SPDX-License-Identifier: Apache-2.0
"""The testbench asks every constant register; `test_fusesoc.py` runs it."""

from __future__ import annotations

import re

import pytest

from hw_tests.workbench.exports.cores import TOP, named_core
from meadow.spec.config import CONFIGURATIONS
from workbench.exports.testbench import identity_bench


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_constant_register_is_read(configuration: str) -> None:
    core = named_core(configuration)
    text = identity_bench(core)
    checks = re.findall(r"check\(12'h([0-9a-f]{3}), 32'h([0-9a-f]{8})\);  // (\w+)", text)
    assert [(int(offset, 16), int(value, 16), name) for offset, value, name in checks] == [
        (entry.offset, core.resets[entry.name], entry.name)
        for entry in core.registers
        if entry.name in ("magic", "version") or entry.name.startswith(("contract_", "config_"))
    ]
    connected = re.findall(r"^        \.(\w+)\((\w+)\)", text, re.M)
    assert connected == [(port["name"], port["name"]) for port in core.ports]
    assert f"    {TOP} dut (" in text and core.contract in text.splitlines()[1]
