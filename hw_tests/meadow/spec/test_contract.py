# SPDX-License-Identifier: Apache-2.0
"""The contract hash is stable for equal contracts and moves with everything it covers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from meadow.spec import contract
from meadow.spec.config import CONFIGURATIONS, named_config
from meadow.spec.contract import contract_hash, contract_text, reset_values


def test_hash_is_64_digits_and_repeatable() -> None:
    digest = contract_hash(named_config("tiny"))
    assert len(digest) == 64 and int(digest, 16) >= 0
    assert digest == contract_hash(replace(named_config("tiny")))


def test_every_parameter_changes_it() -> None:
    config = named_config("tiny")
    changes = {
        "width": 32, "lanes": 1, "rows": 4, "groups": 33, "ports": 2, "activation_words": 4096,
        "max_context": 1024, "sequences": 5, "max_head_dim": 32, "norm_channels": 256,
        "decoder_elements": 32, "dictionary_entries": 512, "probability_bits": 11,
        "prefetch_beats": 128, "outstanding": 5, "address_bits": 36,
        "codecs": ("raw",), "baseline": False, "norm_lanes": 4, "activation_ram": "ultra",
    }  # fmt: skip
    assert set(changes) == set(config.to_dict())
    hashes = {contract_hash(config)}
    for name, value in changes.items():
        more = {"width": 32} if name in ("rows", "decoder_elements") else {}
        hashes.add(contract_hash(replace(config, **{**more, name: value})))
    assert len(hashes) == 1 + len(changes)
    assert len({contract_hash(entry) for entry in CONFIGURATIONS.values()}) == len(CONFIGURATIONS)


def test_text_covers_all_tables() -> None:
    text = json.loads(contract_text(named_config("small")))
    assert set(text) == {"version", "config", "numerics", "commands", "streams", "registers"}
    assert text["commands"]["MATMUL"][0] == 3
    assert ["checksum", 32, False] in text["streams"]["preamble"]
    assert len(text["numerics"]["exp2_table"]) == 256
    assert [0x100, "control", "rw", 15] in text["registers"]


def test_version_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = contract_hash(named_config("tiny"))
    monkeypatch.setattr(contract, "CONTRACT_VERSION", contract.CONTRACT_VERSION + 1)
    assert contract_hash(named_config("tiny")) != before


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_register_has_a_value_after_reset(name: str) -> None:
    config = CONFIGURATIONS[name]
    values = reset_values(config)
    words = b"".join(values[f"contract_hash{index}"].to_bytes(4, "little") for index in range(8))
    assert words.hex() == contract_hash(config)
    assert values["config_lanes"] == config.lanes and values["status"] == 0
    assert {name for name, value in values.items() if value and not name.startswith("con")} == {
        *("magic", "version", "watchdog")
    }
