# SPDX-License-Identifier: Apache-2.0
"""Names of the device tree are ones that Linux takes, and the page holds all registers."""

from __future__ import annotations

import re

from hw_tests.test_floors import FLOORS, ROOT
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.linux import (
    BUFFER_NAME,
    CLOCK_PROPERTY,
    HASH_PROPERTY,
    REGISTER_BYTES,
    UIO_NAME,
)
from meadow.spec.registers import register_map


def test_names_are_ones_of_nodes_and_properties() -> None:
    for name in (UIO_NAME, BUFFER_NAME):
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name)  # Devicetree Specification, 2.2.1
    for name in (HASH_PROPERTY, CLOCK_PROPERTY):
        assert re.fullmatch(r"meadow,[a-z0-9-]{1,24}", name)  # 2.2.4


def test_names_are_spelled_out_in_one_place() -> None:
    """So that driver and overlay cannot differ."""
    sources = [path for floor in FLOORS for path in (ROOT / floor).rglob("*")]
    for path in sources:
        if path.suffix not in (".py", ".j2") or path == ROOT / "meadow" / "spec" / "linux.py":
            continue
        text = path.read_text("utf-8")
        for name in (BUFFER_NAME, HASH_PROPERTY, CLOCK_PROPERTY):
            assert name not in text, f"{path}: {name} stands in meadow/spec/linux.py"


def test_the_page_holds_all_registers() -> None:
    assert REGISTER_BYTES == 4096
    for config in CONFIGURATIONS.values():
        assert max(register.offset for register in register_map(config)) < REGISTER_BYTES
