# SPDX-License-Identifier: Apache-2.0
"""Whatever else calls itself Verilator, and whatever the environment holds, the same tools are
called the same way.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from cosim import verilator_tool
from cosim.verilator_tool import (
    BuildError,
    compiler_identity,
    find_verilator,
    tool_environment,
)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    verilator_tool._said.cache_clear()


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        verilator_tool.importlib.util,
        "find_spec",
        lambda name: None if name == "verilator" else find(name),
    )


def put_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "said",
    [
        "echo Verilator 5.006 2023-01-01",
        "echo Verilator 9.001 2030-01-01",
        r"printf 'Verilator \377\376'",
        "exit 3",
        "kill -9 $$",
        "echo",
    ],
)
def test_another_verilator_on_path_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    script(tmp_path, "verilator", said)
    put_first(monkeypatch, tmp_path)
    monkeypatch.setenv("VERILATOR_ROOT", "/some/third/place")
    found = find_verilator()
    assert Path(found.binary).name == "verilator_bin" and "Python package" in found.version
    assert (Path(found.root) / "include" / "verilated.mk").is_file()
    assert found.environment()["VERILATOR_ROOT"] == "verilator"


@pytest.mark.parametrize(
    ("version", "root", "usable"),
    [
        ("5.006", "{whole}", False),
        ("5.036", "{whole}", True),
        ("6.001", "{whole}", True),
        ("5.036", "{empty}", False),
    ],
)
def test_without_the_package_a_system_verilator_must_be_new_and_whole(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    no_wheel: None,
    version: str,
    root: str,
    usable: bool,
) -> None:
    include = tmp_path / "whole" / "include"
    include.mkdir(parents=True)
    (include / "verilated.mk").touch()
    root = root.format(whole=tmp_path / "whole", empty=tmp_path)
    tool = script(
        tmp_path,
        "verilator",
        f'if [ "$1" = --getenv ]; then echo "{root}"; else echo "Verilator {version} 2025-01-01"; '
        f"fi",
    )
    put_first(monkeypatch, tmp_path)
    if usable:
        found = find_verilator()
        assert (found.binary, found.root) == (str(tool), root)
    else:
        with pytest.raises(BuildError, match="no Verilator of version 5.036 or later that runs"):
            find_verilator()


@pytest.mark.parametrize("kind", ["folder", "not executable", "bytes", "nothing"])
def test_without_any_verilator_the_way_to_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_wheel: None, kind: str
) -> None:
    if kind == "folder":
        (tmp_path / "verilator").mkdir()
    elif kind == "not executable":
        script(tmp_path, "verilator", "echo Verilator 6.001").chmod(0o644)
    elif kind == "bytes":
        script(tmp_path, "verilator", r"printf '\377\376'")
    put_first(monkeypatch, tmp_path)
    with pytest.raises(BuildError, match="no Verilator of version 5.036 or later.*make setup"):
        find_verilator()


def test_the_environment_of_a_user_does_not_reach_the_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CXX", "CXXFLAGS", "CPATH", "LDFLAGS", "MAKEFLAGS", "VERILATOR_ROOT", "LANG"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("TMPDIR", "/tmp/a folder")  # make would cut it at the space
    assert set(tool_environment()) <= {"PATH", "HOME", "LD_LIBRARY_PATH", "MEADOW_BUILD", "LC_ALL"}


@pytest.mark.parametrize(
    ("missing", "named"),
    [({"g++"}, "g[+][+] not found"), ({"g++", "make"}, "g[+][+] and make not")],
)
def test_missing_build_tools_are_named_with_the_apt_line(
    monkeypatch: pytest.MonkeyPatch, missing: set[str], named: str
) -> None:
    which = verilator_tool.shutil.which
    monkeypatch.setattr(
        verilator_tool.shutil, "which", lambda name: None if name in missing else which(name)
    )
    with pytest.raises(BuildError, match=rf"{named}.*apt-get install -y g[+][+] make"):
        compiler_identity()


def test_a_compiler_that_does_not_run_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(tmp_path, "g++", "exit 1")
    put_first(monkeypatch, tmp_path)
    with pytest.raises(BuildError, match=rf"{tmp_path}/g[+][+] does not run: g[+][+] --version"):
        compiler_identity()
