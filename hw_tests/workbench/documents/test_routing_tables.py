# SPDX-License-Identifier: Apache-2.0
"""The table of routed figures."""

from __future__ import annotations

from typing import Any

from workbench.documents.routing_tables import ROUTING_TABLES, run_name


def _report(block: str) -> dict[str, Any]:
    steps = [("clk-to-q", 0.5, ""), ("routing", 2.25, "rtl_gen/a.py:1"), ("logic", 0.25, "")]
    steps.append(("routing", 1.0, "rtl_gen/b.py:2"))
    return {
        "commit": "0123abc",
        "config": "nano",
        "block": block,
        "fmax_mhz": 249.6,
        "critical_path": [{"kind": kind, "ns": ns, "source": source} for kind, ns, source in steps],
        "comb": 31369,
        "ff": 11283,
        "mult18": 0,
        "dp16kd": 32,
        "synthesis_seconds": 12,
        "routing_seconds": 345,
    }


def test_a_row_has_clock_path_counts_and_times() -> None:
    stored = {run_name("nano", "memory_port"): _report("memory_port")}
    assert list(stored) == ["routed-nano-memory-port"]
    head, _, row = ROUTING_TABLES["routed"](stored.get).splitlines()
    assert head.startswith("| routed on another device | clock | critical path |")
    assert row == (
        "| memory_port of `nano` | **250 MHz** | 4.00 ns, 3.25 of it routing | "
        "`rtl_gen/a.py:1` → `rtl_gen/b.py:2` | 31,369 | 11,283 | 0 | 32 | 12 s, 345 s | `0123abc` |"
    )


def test_without_results_the_table_says_so() -> None:
    assert ROUTING_TABLES["routed"]({}.get) == "Not measured yet."
