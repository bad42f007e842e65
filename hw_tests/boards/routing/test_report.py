# SPDX-License-Identifier: Apache-2.0
"""Reading of a report of nextpnr; test_place.py reads one that nextpnr has just written."""

from __future__ import annotations

from typing import Any

import pytest

from boards.routing.report import read_report

CLOCK = "$glbnet$clk"
MODULE = {"cells": {"b": {"attributes": {"src": "yosys.v:1|rtl_gen/x.py:7"}}}}


def _step(kind: str, delay: float, start: str, end: str, **more: Any) -> dict[str, Any]:
    cells = {"from": {"cell": start}, "to": {"cell": end}}
    return {"type": kind, "delay": delay, **cells, **more}


def _report() -> dict[str, Any]:
    path = [
        _step("clk-to-q", 0.5, "a", "a"),
        _step("routing", 1.25, "a", "b", net="sum[3]", sources=["cells.v:2", "rtl_gen/y.py:9"]),
        _step("logic", 0.2361, "b", "b"),
        _step("setup", 0.0, "b", "b"),
    ]
    clock = f"posedge {CLOCK}"
    return {
        "fmax": {CLOCK: {"achieved": 123.4567, "constraint": 100}},
        "critical_paths": [
            {"from": "<async>", "to": clock, "path": path[:1]},
            {"from": clock, "to": clock, "path": path},
        ],
        "utilization": {
            "TRELLIS_COMB": {"used": 12, "available": 83640},
            "TRELLIS_FF": {"used": 5, "available": 83640},
            "MULT18X18D": {"used": 1, "available": 156},
        },
    }


def test_clock_path_and_counts_are_read() -> None:
    result = read_report(_report(), MODULE)
    path = result.pop("critical_path")
    assert result == {"fmax_mhz": 123.46, "comb": 12, "ff": 5, "mult18": 1, "dp16kd": 0}
    assert [step["ns"] for step in path] == [0.5, 1.25, 0.236, 0.0]
    assert [step["source"] for step in path] == ["", "rtl_gen/y.py:9", "rtl_gen/x.py:7"] + [
        "rtl_gen/x.py:7"
    ]
    assert path[1]["net"] == "sum[3]" and (path[1]["from"], path[1]["to"]) == ("a", "b")


def test_two_clocks_are_refused() -> None:
    report = _report()
    report["fmax"]["gated"] = {"achieved": 50.0, "constraint": 100}
    with pytest.raises(ValueError, match=r"^a routed block has one clock, not 2: .*gated$"):
        read_report(report, MODULE)


def test_a_report_without_a_path_between_registers_is_refused() -> None:
    report = _report()
    del report["critical_paths"][1]
    with pytest.raises(ValueError, match="^the report has no path from a register to a register$"):
        read_report(report, MODULE)
