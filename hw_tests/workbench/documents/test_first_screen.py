# SPDX-License-Identifier: Apache-2.0
"""README's figures come from the stored reports, and wait for those that are missing."""

from __future__ import annotations

from typing import Any

from workbench.documents.first_screen import FIRST_SCREEN_TABLES
from workbench.documents.measurements import load

FIGURES, STORY = FIRST_SCREEN_TABLES["figures"], FIRST_SCREEN_TABLES["story"]


def test_six_lines_stand_beside_published_figures() -> None:
    head, _, *rows = FIGURES(load).split("\n")
    assert head == "| model | clock, DRAM | here, *simulated* | published |"
    assert len(rows) == 6
    for row in rows:
        _, conditions, here, published = row.strip("| ").split(" | ")
        assert "MHz" in conditions and "bit/s" in conditions
        assert here.startswith("**") and any(digit in published for digit in "123456789")


def test_a_line_shows_its_report() -> None:
    def other(name: str) -> dict[str, Any] | None:
        return {"tokens_per_s": 123.4} if name == "meadow-conditions" else None

    rows = FIGURES(other).split("\n")[2:]
    assert "| **123 tokens/s** |" in rows[1]
    assert all("| not measured |" in row for row in (rows[0], *rows[2:]))


def test_no_board_is_implied() -> None:
    assert "simulated" in FIGURES(load).split("\n")[0]
    assert "(simulated)" in STORY(load)
    assert STORY(lambda name: None) == "Not measured yet."
