# SPDX-License-Identifier: Apache-2.0
"""Fields of payloads, by the manifest of a unit alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cocotb_bench.design import MANIFEST_VARIABLE
from cocotb_bench.payload import Payload, payload_of

PAYLOAD = Payload({"slot": (0, 1, False), "bias": (1, 4, True), "row": (5, 3, False)})


def test_what_is_packed_is_unpacked() -> None:
    bits = PAYLOAD.pack(bias=-3, row=5)
    assert bits == 0b101_1101_0
    assert PAYLOAD.unpack(bits) == {"slot": 0, "bias": -3, "row": 5}


@pytest.mark.parametrize(("name", "value"), [("row", 8), ("row", -1), ("bias", 8), ("bias", -9)])
def test_a_value_that_does_not_fit_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be of . bits, not {value}"):
        PAYLOAD.pack(**{name: value})


def test_fields_come_from_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = {"name": "tiles", "bit": 17, "bits": 12, "signed": False, "meaning": "of a slice"}
    interfaces = [{"name": "i_job", "fields": [field]}, {"name": "busy", "fields": []}]
    (tmp_path / "manifest.json").write_text(json.dumps({"interfaces": interfaces}), "utf-8")
    monkeypatch.setenv(MANIFEST_VARIABLE, str(tmp_path / "manifest.json"))
    assert payload_of("i_job").pack(tiles=3) == 3 << 17
    for name in ("busy", "i_beat"):
        with pytest.raises(ValueError, match=f"no interface {name} with fields"):
            payload_of(name)
