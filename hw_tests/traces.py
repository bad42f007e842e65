# SPDX-License-Identifier: Apache-2.0
"""The worked examples of docs: the differences in a document, applied to a copy of the sources."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hw_tests.test_floors import ALL

__all__ = ["apply", "copied_sources", "differences", "run_in", "source_files"]

ROOT = Path(__file__).parents[1]


def differences(document: Path, heading: str) -> str:
    """The blocks ```diff below the heading `## heading`, as one patch. Fails if there are none."""
    text = document.read_text("utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"{document.name} has no heading {heading!r}"
    blocks = re.findall(r"^```diff\n(.*?)^```$", found.group(1), re.M | re.S)
    assert blocks, f"{document.name}, {heading}: no differences"
    return "".join(blocks)


def source_files(patch: str) -> set[str]:
    """The files of the sources, not of tests and documents, that a patch touches."""
    touched = set(re.findall(r"^(?:---|\+\+\+) [ab]/(\S+)$", patch, re.M))
    return {name for name in touched if name.split("/")[0] in ALL}


def copied_sources(folder: Path) -> Path:
    """A copy of sources, tests and documents in `folder`."""
    for name in (*ALL, "hw_tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def apply(patch: str, folder: Path) -> None:
    """Apply a patch to a copy; fails with git's reason if it does not fit."""
    # A folder above may be a repository: its rules are none of the copy's.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(
        command, cwd=folder, env=environment, input=patch, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def run_in(folder: Path, *arguments: str) -> str:
    """What `python arguments` prints in a copy whose modules it takes; it must succeed."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
