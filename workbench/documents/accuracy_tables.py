# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/real-models.md out of stored reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.documents.measurement_tables import Load, Table, markdown

__all__ = ["ACCURACY_TABLES"]

_MISSING = "not measured"


def _remedies(load: Load) -> str:
    """All remedies, and each one left out."""
    report = load("remedies")
    rows = []
    for row in report["rows"] if report is not None else ():
        rows.append(
            [
                f"{row['name']}, W = {row['width']}",
                f"{row['ratio']:.4f}",
                f"{row['kl_nats']:.4f}",
                f"{row['top1_agreement']:.1%}",
            ]
        )
    return markdown(
        ("remedies", "ratio", "KL (nats per token)", "same first choice"),
        rows or [[_MISSING] * 4],
    )


def _chat(load: Load) -> str:
    """A question to SmolLM2, simulated whole."""
    rows = []
    for name in ("smollm2-chat", "smollm2-peer"):
        report = load(name)
        if report is None:
            continue
        limit = report["bandwidth_gbps"]
        offered = "" if limit is None else f", {limit:g} Gbit/s"
        for phase in ("prefill", "decode"):
            rows.append(
                [
                    f"{report['clock_mhz']:g} MHz{offered}",
                    *_phase(phase, report[phase]),
                    "yes" if report["matches_golden"] else "no",
                    f"`{name}`",
                ]
            )
    return markdown(
        (
            "conditions",
            "phase",
            "tokens",
            "cycles",
            "tokens/s",
            "DRAM bytes",
            "bandwidth used",
            "equal to golden",
            "run",
        ),
        rows or [[_MISSING] * 9],
    )


def _phase(name: str, report: Mapping[str, Any]) -> list[str]:
    used = report["bandwidth_utilisation"]
    return [
        name,
        str(report["tokens"]),
        f"{report['cycles']:,}",
        f"{report['tokens_per_second']:.1f}",
        f"{sum(report['dram_bytes'].values()):,}",
        "" if used is None else f"{used:.1%}",
    ]


ACCURACY_TABLES: Mapping[str, Table] = {"remedies": _remedies, "chat": _chat}
