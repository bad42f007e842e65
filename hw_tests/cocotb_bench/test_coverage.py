# SPDX-License-Identifier: Apache-2.0
"""What was seen and what was not, and why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from cocotb_bench.coverage import markdown, points, read_seen, report
from meadow.spec.config import CONFIGURATIONS

TINY, ZCU102 = CONFIGURATIONS["tiny"], CONFIGURATIONS["zcu102"]


def test_a_hole_that_a_design_cannot_fill_has_a_reason() -> None:
    holes = report(ZCU102, {})["holes"]
    assert isinstance(holes, list)
    reasons = {(hole["group"], hole["point"]): hole["reason"] for hole in holes}
    assert "no decoder" in reasons["codec", "dictionary"] and not reasons["codec", "rice"]
    assert (
        "baseline" in reasons["opcode", "SOFTMAX"] and "baseline" in reasons["attention", "SCORES"]
    )
    assert not any(reason for point in points(TINY).values() for reason in point.values())


def test_what_was_seen_is_no_hole() -> None:
    everything = {(g, p): 2 for g, listed in points(TINY).items() for p in listed}
    assert report(TINY, everything)["holes"] == []
    assert "There are no holes." in markdown(report(TINY, everything))
    del everything["opcode", "FENCE"]
    text = markdown(report(TINY, everything))
    assert "| opcode | 8 | 9 |" in text and "| opcode: FENCE | none: a test is missing |" in text


def test_tests_of_a_run_are_added(tmp_path: Path) -> None:
    file = tmp_path / "seen"
    assert read_seen(file) == Counter()
    lines = ([["opcode", "END", 2]], [["opcode", "END", 1], ["error", "NONE", 1]])
    file.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    assert read_seen(file) == {("opcode", "END"): 3, ("error", "NONE"): 1}
