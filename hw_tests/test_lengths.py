# SPDX-License-Identifier: Apache-2.0
"""No Python file is longer than 300 lines without a line below the licence that says why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hw_tests.test_floors import FLOORS, ROOT

MOST_LINES = 300
REASON = re.compile(rf"# Longer than {MOST_LINES} lines: .{{20,}}\.")


def long_files(root: Path) -> list[str]:
    """Files below the folders of `root` that are too long, and reasons of files that are not."""
    found = []
    for folder in (*FLOORS, "hw_tests"):
        for path in sorted((root / folder).rglob("*.py")):
            lines = path.read_text("utf-8").splitlines()
            name, reason = (
                path.relative_to(root),
                len(lines) > 1 and lines[1].startswith("# Longer"),
            )
            if len(lines) > MOST_LINES and not (reason and REASON.fullmatch(lines[1])):
                found.append(f"{name} has {len(lines)} lines")
            if len(lines) <= MOST_LINES and reason:
                found.append(f"{name} has a reason and only {len(lines)} lines")
    return found


def test_no_file_is_long_without_a_reason() -> None:
    assert long_files(ROOT) == []


@pytest.mark.parametrize(
    ("lines", "second", "told"),
    [
        (300, "", ""),
        (301, "", "has 301 lines"),
        (301, "# Longer than 300 lines: it is one table of all there is.", ""),
        (301, "# Longer than 300 lines: sorry.", "has 301 lines"),
        (300, "# Longer than 300 lines: it is one table of all there is.", "has a reason and only"),
    ],
)
def test_a_long_file_is_found(tmp_path: Path, lines: int, second: str, told: str) -> None:
    file = tmp_path / "meadow" / "a.py"
    file.parent.mkdir()
    file.write_text("\n".join(["# licence", second, *["x = 1"] * (lines - 2)]) + "\n", "utf-8")
    found = long_files(tmp_path)
    assert bool(found) == bool(told) and all(told in line for line in found)
