# SPDX-License-Identifier: Apache-2.0
"""The table of docs/memory-system.md out of stored bench reports."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.measurement_tables import Load, Table, markdown

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


MEMORY_TABLES: Mapping[str, Table] = {"whole-model": _whole_model}
