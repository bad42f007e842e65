# SPDX-License-Identifier: Apache-2.0
"""The table below a generated text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from workbench.console import say, show

__all__ = ["print_table"]


def print_table(report: Mapping[str, Any]) -> None:
    """Print prefill and decode of a report of `meadow run` side by side, per token."""
    phases = (report["prefill"], report["decode"])
    table = Table(title=f"{report['config']} on {report['device']} ({report['label']})")
    for heading in ("per token", "prefill", "decode"):
        table.add_column(heading, justify="left" if heading == "per token" else "right")
    table.add_row("tokens", *(str(phase["tokens"]) for phase in phases))
    timed = any(phase["cycles"] for phase in phases)
    if timed:
        table.add_row("cycles", *(f"{phase['cycles_per_token']:,.0f}" for phase in phases))
        table.add_row(
            f"microseconds at {report['clock_mhz']:g} MHz",
            *(f"{phase['cycles_per_token'] / report['clock_mhz']:,.1f}" for phase in phases),
        )
        table.add_row(
            f"tokens per second, {report['dram_limit']}",
            *(_number(phase["tokens_per_second"]) for phase in phases),
        )
        table.add_row("array utilisation", *(_share(p["array_utilisation"]) for p in phases))
        if report["bytes_per_cycle"] is not None:
            table.add_row(
                f"DRAM utilisation at {report['bytes_per_cycle']:.3g} bytes per cycle",
                *(_share(phase["bandwidth_utilisation"]) for phase in phases),
            )
    for name in report["prefill"]["dram_bytes"]:
        table.add_row(
            f"DRAM bytes, {name.replace('_', ' ')}",
            *(f"{phase['dram_bytes'][name] / max(1, phase['tokens']):,.0f}" for phase in phases),
        )
    show(table)
    if report["matches_golden"]:
        say(f"{len(report['tokens'])} tokens, every one equal to golden")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
