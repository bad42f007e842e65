# SPDX-License-Identifier: Apache-2.0
"""Names of the device tree are ones that Linux takes, and the page holds all registers."""

from __future__ import annotations

import re

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.device_tree import (
    BUFFER_NAME,
    CLOCK_PROPERTY,
    HASH_PROPERTY,
    NODE_NAME,
    REGISTER_BYTES,
)
from meadow.spec.registers import register_map


def test_names_are_ones_of_nodes_and_properties() -> None:
    for name in (NODE_NAME, BUFFER_NAME):
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name)  # Devicetree Specification, 2.2.1
    for name in (HASH_PROPERTY, CLOCK_PROPERTY):
        assert re.fullmatch(r"meadow,[a-z0-9-]{1,24}", name)  # 2.2.4


def test_the_page_holds_all_registers() -> None:
    assert REGISTER_BYTES == 4096
    for config in CONFIGURATIONS.values():
        assert max(register.offset for register in register_map(config)) < REGISTER_BYTES
