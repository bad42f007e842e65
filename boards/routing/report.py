# SPDX-License-Identifier: Apache-2.0
"""What nextpnr reports of a routed block: the clock it allows and the path that limits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["read_report"]

_OURS = "rtl_gen/"
"""Where the sources of the hardware are; the rest is of Yosys and Amaranth."""

_KINDS = {
    "comb": "TRELLIS_COMB",
    "ff": "TRELLIS_FF",
    "mult18": "MULT18X18D",
    "dp16kd": "DP16KD",
}


def read_report(report: Mapping[str, Any], module: Mapping[str, Any]) -> dict[str, Any]:
    """fmax_mhz, critical_path and what is used of each kind (comb, ff, mult18, dp16kd).

    The path is that within the one clock, not from a pin or to one: one step for each delay with
    `ns`, `kind` (clk-to-q, logic, routing, setup), the cells `from` and `to`, `net` where it is one
    of routing, and `source`, "file:line" in the hardware's sources, of the net or else of the cell
    behind it; empty where the tools have kept none.

    report: JSON that nextpnr writes (`--report`).
    module: the routed module in the JSON of Yosys, for the sources of cells.

    ValueError unless the report has exactly one clock and a path within it.
    """
    clocks = report["fmax"]
    if len(clocks) != 1:
        raise ValueError(f"a routed block has one clock, not {len(clocks)}: {', '.join(clocks)}")
    (speed,) = clocks.values()
    inside = [
        path["path"]
        for path in report["critical_paths"]
        if path["from"].startswith("posedge ") and path["from"] == path["to"]
    ]
    if not inside:
        raise ValueError("the report has no path from a register to a register")
    used = report["utilization"]
    return {
        "fmax_mhz": round(speed["achieved"], 2),
        "critical_path": [_step(step, module["cells"]) for step in inside[0]],
        **{kind: used.get(name, {"used": 0})["used"] for kind, name in _KINDS.items()},
    }


def _step(step: Mapping[str, Any], cells: Mapping[str, Any]) -> dict[str, Any]:
    cell = cells.get(step["to"]["cell"], {}).get("attributes", {}).get("src", "")
    known = [*step.get("sources", ()), *cell.split("|")]
    return {
        "ns": round(step["delay"], 3),
        "kind": step["type"],
        "from": step["from"]["cell"],
        "to": step["to"]["cell"],
        "net": step.get("net", ""),
        "source": next((place for place in known if place.startswith(_OURS)), ""),
    }
