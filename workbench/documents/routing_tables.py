# SPDX-License-Identifier: Apache-2.0
"""The table of docs/performance.md out of stored results of `make route`."""

from __future__ import annotations

from collections.abc import Mapping

from boards.routing.synthesis import MODULES
from workbench.documents.measurement_tables import Load, Table, markdown

__all__ = ["ROUTING_TABLES", "run_name"]

_CONFIG = "nano"


def run_name(config: str, block: str) -> str:
    """The name of the stored result of a block."""
    return f"routed-{config}-{block.replace('_', '-')}"


def _routed(load: Load) -> str:
    rows = []
    for block in MODULES:
        report = load(run_name(_CONFIG, block))
        if report is None:
            continue
        path = report["critical_path"]
        total = sum(step["ns"] for step in path)
        wires = sum(step["ns"] for step in path if step["kind"] == "routing")
        places = [step["source"] for step in path if step["source"]]
        rows.append(
            [
                f"{block} of `{report['config']}`",
                f"**{report['fmax_mhz']:.0f} MHz**",
                f"{total:.2f} ns, {wires:.2f} of it routing",
                " → ".join(f"`{place}`" for place in dict.fromkeys(places[:1] + places[-1:])),
                *(f"{report[kind]:,}" for kind in ("comb", "ff", "mult18", "dp16kd")),
                f"{report['synthesis_seconds']} s, {report['routing_seconds']} s",
                f"`{report['commit']}`",
            ]
        )
    head = ("routed on another device", "clock", "critical path", "first and last source line")
    kinds = ("LUT4", "FF", "MULT18X18D", "DP16KD", "synthesis, routing", "commit")
    return markdown((*head, *kinds), rows) if rows else "Not measured yet."


ROUTING_TABLES: Mapping[str, Table] = {"routed": _routed}
"""Marker in docs/performance.md -> its table."""
