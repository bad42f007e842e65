# SPDX-License-Identifier: Apache-2.0
"""The SPDX document is valid, names every file, and says which are of others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from hw_tests.workbench.exports.cores import named_core
from workbench.exports import spdx
from workbench.exports.spdx import licence_of, licence_text, spdx_document

FILES = {"meadow.v": b"module", "html/js/main.js": b"1", "html/fonts/Lato/lato.woff2": b"2"}


def test_it_is_valid_and_says_what_each_file_is(tmp_path: Path) -> None:
    core = named_core("tiny")
    text = spdx_document(core, FILES)
    path = tmp_path / "core.spdx.json"
    path.write_text(text, "utf-8")
    assert validate_full_spdx_document(parse_file(str(path))) == []
    document = json.loads(text)
    assert {file["fileName"]: file["licenseConcluded"] for file in document["files"]} == {
        "./meadow.v": "Apache-2.0",
        "./html/js/main.js": "LGPL-3.0-only",
        "./html/fonts/Lato/lato.woff2": "OFL-1.1",
    }
    sums = {s["algorithm"]: s["checksumValue"] for s in document["files"][-1]["checksums"]}
    assert sums["SHA256"] == hashlib.sha256(b"module").hexdigest()
    assert core.contract in document["packages"][0]["comment"]
    assert spdx_document(core, dict(reversed(FILES.items()))) == text


def test_the_longest_beginning_counts() -> None:
    for path, licence in (
        ("html/fonts/RobotoSlab/a.woff", "Apache-2.0"),
        ("html/js/progressbar.min.js", "MIT"),
        ("html/js/sha1.js", "NOASSERTION"),
        ("html/index.html", "LGPL-3.0-only"),
        ("any_top.h", "Apache-2.0"),
    ):
        assert licence_of(path) == licence


def test_the_licence_is_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "LICENSE").read_text("utf-8")
    assert licence_text() == text and "Apache License" in text

    class Installed:
        @staticmethod
        def read_text(name: str) -> str:
            assert name == "licenses/LICENSE"
            return "of the wheel"

    monkeypatch.setattr(spdx, "__file__", str(tmp_path / "workbench" / "exports" / "spdx.py"))
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed)
    assert licence_text() == "of the wheel"
