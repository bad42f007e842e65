# SPDX-License-Identifier: Apache-2.0
"""Timing diagrams as WaveDrom text, of ports that were recorded in a simulation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["Row", "diagram_text"]

_SHOWN_BITS = 32


class Row:
    """A line of a diagram: a port, or a field of a payload, which is shown while its stream is
    valid.

    name: a port, or the beginning of the names of a stream, a dot and a field or `payload`, or a
    port with one of its AXI channel's valid signals behind `@`.
    """

    def __init__(self, name: str) -> None:
        self.label, _, self.shown_with = name.partition("@")
        self.stream, _, self.field = self.label.partition(".")
        if self.field:
            self.shown_with = f"{self.stream}__valid"
            self.port = f"{self.stream}__payload"
        else:
            self.port = self.label


def diagram_text(
    title: str,
    cycles: Sequence[dict[str, int]],
    rows: Sequence[str],
    interfaces: Sequence[dict[str, Any]],
    widths: dict[str, int],
) -> str:
    """JSON of the diagram: a column for each cycle, with what the ports hold until the edge that
    ends it; an empty string in `rows` leaves a gap.

    Numbers of more than 32 bits are called d0, d1 and so on, the same ones the same.
    interfaces: of the unit, for the places of fields; widths: of its ports.
    """
    fields = {
        (entry["name"], field["name"]): (field["bit"], field["bits"])
        for entry in interfaces
        for field in entry.get("fields", [])
    }
    names: dict[int, str] = {}
    signals: list[dict[str, Any]] = [{"name": "clk", "wave": "p" + "." * (len(cycles) - 1)}]
    for row in (Row(name) for name in rows):
        if not row.port:
            signals.append({})
            continue
        first, bits = fields.get((row.stream, row.field), (0, widths[row.port]))
        values: list[str] = []
        for cycle in cycles:
            value = cycle[row.port] >> first & ((1 << bits) - 1)
            if row.shown_with and not cycle[row.shown_with]:
                values.append("x")
            elif bits > _SHOWN_BITS and row.port.endswith(("payload", "data")):
                values.append(names.setdefault(value, f"d{len(names)}"))
            else:
                values.append(f"0x{value:x}" if bits > _SHOWN_BITS else str(value))
        signals.append(_signal(row.label, values, bits == 1))
    head = {"text": title, "tick": 0}
    lines = ",\n    ".join(json.dumps(signal) for signal in signals)
    return f'{{\n  "head": {json.dumps(head)},\n  "signal": [\n    {lines}\n  ]\n}}\n'


def _signal(name: str, values: list[str], is_bit: bool) -> dict[str, Any]:
    wave, shown = [], []
    before = None
    for value in values:
        if value == before:
            wave.append(".")
        elif value == "x" or is_bit:
            wave.append(value)
        else:
            wave.append("=")
            shown.append(value)
        before = value
    signal: dict[str, Any] = {"name": name, "wave": "".join(wave)}
    return signal | ({"data": shown} if shown else {})
