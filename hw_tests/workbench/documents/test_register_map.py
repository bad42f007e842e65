# SPDX-License-Identifier: Apache-2.0
"""docs/register-map.md is what the contract generates, and names every register of every
configuration.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.parameters import register_values
from meadow.spec.registers import ErrorCode, register_map
from workbench.documents.register_map import register_map_markdown

_DOCUMENT = Path(__file__).parents[3] / "docs" / "register-map.md"


def test_document_is_current() -> None:
    assert _DOCUMENT.read_text(encoding="utf-8") == register_map_markdown(), "run `make docs`"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_document_names_every_register_of_every_configuration(name: str) -> None:
    """Offsets, names, and the values of `config_*`, read from the tables as a person would."""
    config, text = CONFIGURATIONS[name], _DOCUMENT.read_text("utf-8")
    column = list(CONFIGURATIONS).index(name)
    found: dict[int, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        offsets = [int(offset, 16) for offset in re.findall(r"0x([0-9A-F]{3})\b", cells[0])]
        if not line.startswith("|") or not offsets:
            continue
        names = re.findall(r"`([\w{}]+)`", cells[1])
        if "16·i" in cells[0]:
            for index in range(config.sequences):
                found[offsets[0] + 16 * index] = names[0].format(i=index)
            continue
        found |= dict(zip(offsets, names, strict=True))
        if names[0].startswith("config_"):
            assert (
                int(cells[2 + column]) == register_values(config)[names[0].removeprefix("config_")]
            )
    assert found == {entry.offset: entry.name for entry in register_map(config)}


def test_every_bit_and_every_error_has_a_meaning() -> None:
    text = _DOCUMENT.read_text("utf-8")
    for entry in register_map(CONFIGURATIONS["tiny"]):
        for bit in entry.fields:
            assert bit.mask & entry.mask == bit.mask and bit.mask.bit_count() == 1
            number = bit.mask.bit_length() - 1
            assert f"| {number} | `{bit.name}` | {bit.access} | {bit.doc} |" in text
    for code in ErrorCode:
        assert re.search(rf"^\| {code.value} \| `{code.name}` \| \w.* \|$", text, re.M)
    for word in ("ACKNOWLEDGE", "DeviceError", "clears DONE, ERROR and all error registers"):
        assert word in text


def test_meanings_are_no_part_of_the_contract() -> None:
    """Words were added to the map; devices and images made before still fit."""
    assert {name: contract_hash(config)[:16] for name, config in CONFIGURATIONS.items()} == {
        "tiny": "8b39b26e503ba0c9",
        "small": "c9c6febac6edb44e",
        "zcu102": "4fff79c9aea0fc59",
        "zcu102-paper": "d821665e23357d51",
        "kv260": "b90cf0ca2f76fec5",
        "nano": "fca025035150c525",
    }
