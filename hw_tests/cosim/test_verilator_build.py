# SPDX-License-Identifier: Apache-2.0
"""Broken input explained, one build per content, in folders of every name, and no compiler left
behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosim import verilator_build
from cosim.verilator_build import BuildError, build_library, lint
from hw_tests.cosim.cache_builds import sleepers, soon
from hw_tests.cosim.copy_engine import copy_engine_verilog
from hw_tests.cosim.test_cache import ROOT

BUILD = """
import sys
from pathlib import Path
from cosim.verilator_build import build_library
print(build_library(Path(sys.argv[1]).read_text(), ports=2))
"""


def start(verilog: Path, cache: Path, **variables: str) -> subprocess.Popen[str]:
    """A process that builds the library of a file."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(verilog)],
        cwd=ROOT,
        env={**os.environ, "MEADOW_CACHE": str(cache), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
    assert list((tmp_path / "cosim").iterdir()) == []


def test_lint_finds_what_is_serious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", "/some/third/place")
    assert lint("module good(input a, output b); assign b = a; endmodule", top="good") == []
    assert any("%Error" in line for line in lint("module bad; nonsense endmodule", top="bad"))


@pytest.mark.slow
def test_two_processes_build_one_library_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """One builds, the other waits and says so; nothing of their environments gets into the
    library.
    """
    verilog = tmp_path / "top.v"
    verilog.write_text(copy_engine_verilog(ports=2))
    cache = tmp_path / 'it\'s a $HOME #1 é:%41 "folder"'
    first = start(verilog, cache, CXXFLAGS="-nonsense", MAKEFLAGS="--nonsense", CXX="/no/compiler")
    second = start(verilog, cache, CPATH="/no", VERILATOR_ROOT="/no", TMPDIR=str(tmp_path))
    results = [process.communicate(timeout=500) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), results
    paths = {Path(out.splitlines()[-1]) for out, _ in results}
    assert len(paths) == 1
    assert sum("building the simulator with Verilator" in err for _, err in results) == 1
    assert sum("waiting for process" in err for _, err in results) == 1
    (path,) = paths
    assert path.is_relative_to(cache)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["entry.json", path.name]
    assert ctypes.CDLL(str(path)).cosim_ports() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_build_leaves_no_compiler(tmp_path: Path, number: int) -> None:
    verilog = tmp_path / "top.v"
    verilog.write_text(copy_engine_verilog(ports=2))
    process = start(verilog, tmp_path / "cache")
    assert soon(lambda: any("cc1plus" in line for line in sleepers(process.pid)), 120)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == -number
    assert soon(lambda: not sleepers(process.pid), 5)
    time.sleep(0.2)
    assert not sleepers(process.pid)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the tools; what Python writes is in test_cache."""
    tool = tmp_path / "tool"
    tool.write_text(
        "#!/bin/sh\necho 'x.cpp:1: fatal error: x.o: No space left on device' >&2\nexit 1\n"
    )
    tool.chmod(0o755)
    with pytest.raises(BuildError) as caught:
        verilator_build._run([str(tool)], tmp_path, dict(os.environ))
    assert str(caught.value) == (
        f"tool failed in {tmp_path}: No space left on device; make room there, or set "
        f"MEADOW_CACHE to a "
        "folder that has it (and TMPDIR, if the compiler means that)"
    )
