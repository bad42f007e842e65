# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/performance.md out of stored reports of `meadow resources` and `meadow timing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.documents.measurement_tables import Load, Table, markdown

__all__ = ["SYNTHESIS_RUNS", "SYNTHESIS_TABLES"]

_COUNTED = ("zcu102", "zcu102-paper", "kv260", "nano")
_TIMED = ("zcu102", "kv260")
_COUNTS = ("lut_raw", "lut_absorbed", "lutram", "ff_raw", "ff_absorbed", "dsp", "ramb36", "uram")
_HEADS = ("LUT", "LUT absorbed", "of them LUTRAM", "FF", "FF absorbed", "DSP48E2", "RAMB36", "URAM")

SYNTHESIS_RUNS: Mapping[str, str] = {
    **{f"resources-{name}": f"resources --config {name}" for name in _COUNTED},
    **{f"timing-{name}": f"timing --config {name} --paths 1" for name in _TIMED},
}
"""Name -> arguments of `meadow`; they simulate nothing."""


def _numbers(counts: Mapping[str, Any]) -> list[str]:
    return [f"{counts[kind]:,}" for kind in _COUNTS]


def _blocks(load: Load) -> str:
    """One copy of every block of zcu102, and the sum of all copies."""
    report = load("resources-zcu102")
    if report is None:
        return "Not measured yet."
    blocks = sorted(report["blocks"], key=lambda block: -block["copies"] * block["lut_absorbed"])
    rows = [
        [block["name"].replace("_", " "), str(block["copies"]), *_numbers(block)]
        for block in blocks
    ]
    rows.append(["**all**", "", *(f"**{number}**" for number in _numbers(report["total"]))])
    return markdown(("block", "copies", *_HEADS), rows)


def _totals(load: Load) -> str:
    """Counts and shares of the device of every configuration that is counted."""
    rows = []
    for name in _COUNTED:
        report = load(f"resources-{name}")
        if report is None:
            continue
        device, total = report["device"], report["total"]
        shares = " · ".join(
            f"{share:g} % {kind.upper()}" for kind, share in device["shares_percent"].items()
        )
        rows.append(
            [
                f"`{name}`",
                *_numbers(total),
                f"{total['control_sets']:,}",
                f"{total['reset_loads']:,}",
                f"{shares} of `{device['name']}`",
                f"`{report['commit']}`",
            ]
        )
    head = ("", *_HEADS, "control sets", "loads of resets", "absorbed, of", "commit")
    return markdown(head, rows) if rows else "Not measured yet."


def _paths(load: Load) -> str:
    """The slowest path of each block in both delay models, by configuration."""
    reports = {name: found for name in _TIMED if (found := load(f"timing-{name}")) is not None}
    if not reports:
        return "Not measured yet."
    worst = {
        name: {block["name"]: block["worst"] for block in report["blocks"]}
        for name, report in reports.items()
    }
    names = list(dict.fromkeys(block for blocks in worst.values() for block in blocks))
    models = ("full_ns", "budget_ns")

    def cells(block: str) -> list[str]:
        return [
            f"{worst[name][block][model]:.2f}" if block in worst[name] else ""
            for name in reports
            for model in models
        ]

    rows = [[block.replace("_", " "), *cells(block)] for block in names]
    slowest = [
        f"**{report['worst'][model]:.2f}**" for report in reports.values() for model in models
    ]
    rows.append(["**slowest**", *slowest])
    heads = [f"`{name}`, {model} ns" for name in reports for model in ("full", "budget")]
    return markdown(("block", *heads), rows)


SYNTHESIS_TABLES: Mapping[str, Table] = {"blocks": _blocks, "sizes": _totals, "paths": _paths}
"""Marker in docs/performance.md -> its table."""
