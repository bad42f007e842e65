# SPDX-License-Identifier: Apache-2.0
"""The table of docs/memory-system.md out of stored bench reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.documents.measurement_tables import Load, Table, markdown

__all__ = ["MEMORY_RATES", "MEMORY_TABLES"]

MEMORY_RATES = (3, 12, 48)
"""Gbit/s, shared by all ports, reads and writes."""
_MISSING = "not measured"


def _whole_model(load: Load) -> str:
    """Decode with all layers and the head, without and with refresh and page misses."""
    rows = []
    for rate in MEMORY_RATES:
        ideal, real = load(f"memory-{rate}-ideal"), load(f"memory-{rate}-zynqmp")
        row = [f"{rate} Gbit/s"]
        if ideal is None:
            row += [_MISSING] * 2
        else:
            row += [f"{ideal['cycles']:,}", f"{ideal['bandwidth_utilisation']:.2%}"]
        if real is None:
            row += [_MISSING] * 4
        else:
            used, offered = real["bandwidth_utilisation"], real["bandwidth_offered"]
            row += [f"{real['cycles']:,}", f"{offered:.2%}", f"{used:.2%}", f"{used / offered:.2%}"]
        rows.append(row)
    return markdown(
        (
            "OPT-125M, one token, context 64, 250 MHz",
            "cycles, `ideal`",
            "used",
            "cycles, `zynqmp`",
            "offered",
            "used",
            "used / offered",
        ),
        rows,
    )


def _parts(load: Load) -> str:
    """Runs of which only some layers were simulated."""
    lines = []
    layer = load("memory-3-zynqmp-layer")
    if layer is not None:
        lines.append(
            f"- OPT-125M at 3 Gbit/s behind `zynqmp`, {layer['layers_simulated']} of "
            f"{layer['layers_total']} layers and "
            f"{layer['head_channels_simulated']:,} of {layer['head_channels_total']:,} head "
            f"channels simulated and scaled "
            f"(`memory-3-zynqmp-layer`): {layer['cycles']:,} cycles, {_share(layer)}."
        )
    small = load("memory-minilm-tiny")
    if small is not None:
        lines.append(
            f"- MiniLM on `tiny` (one port, {small['tokens']} tokens, {small['layers_simulated']} "
            f"of "
            f"{small['layers_total']} layers) behind `zynqmp` without a limit "
            f"(`memory-minilm-tiny`): {_share(small)}."
        )
    return "\n".join(lines) if lines else _MISSING


def _share(report: Mapping[str, Any]) -> str:
    used, offered = report["bandwidth_utilisation"], report["bandwidth_offered"]
    return f"used {used:.2%} of {offered:.2%} offered"


MEMORY_TABLES: Mapping[str, Table] = {"whole-model": _whole_model, "parts": _parts}
