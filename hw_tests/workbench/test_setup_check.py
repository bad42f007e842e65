# SPDX-License-Identifier: Apache-2.0
"""What is missing is named together with the one line that mends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench import setup_check

SCRIPT = Path(setup_check.__file__)


def test_nothing_is_missing_here() -> None:
    assert setup_check.missing() == []


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_environments_is_noticed(module: str) -> None:
    assert setup_check.missing(has_module=lambda name: name != module) == ["python3-venv"]


@pytest.mark.parametrize("tool", ["g++", "make"])
def test_a_missing_tool_is_noticed(tool: str) -> None:
    assert setup_check.missing(has_tool=lambda name: name != tool) == [tool]


def test_an_old_python_is_noticed() -> None:
    assert "Python 3.11 or later (this is 3.9" in setup_check.missing(version=(3, 9))[0]


def test_the_script_runs_alone_and_prints_the_apt_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-S", "-I", str(SCRIPT)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "missing: g++, make",
        "install with: apt-get install -y python3-venv g++ make",
    ]


def test_a_folder_that_no_environment_can_be_in_is_named(tmp_path: Path) -> None:
    assert setup_check.unusable_place("/home/some one/$x #1/it's é") is None
    folder = tmp_path / "a:b"
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-S", "-I", str(SCRIPT)], cwd=folder, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{folder} holds ':'") and "move the checkout" in result.stderr
