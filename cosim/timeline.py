# SPDX-License-Identifier: Apache-2.0
"""What the chip did when, as a trace for Perfetto or chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meadow.compiler.replace import replacing

__all__ = ["COMMAND_ITEM", "TIMELINE_EVENT", "write_timeline"]

TIMELINE_EVENT = np.dtype(
    [("start", "u8"), ("cycles", "u8"), ("active", "u8"), ("item", "u4"), ("command", "u4")]
)
"""An interval of an item: first cycle, cycles to its end, cycles in which the item really was 1; bit of `activity`, or
COMMAND_ITEM and the command's index."""

COMMAND_ITEM = 64
"""Item of the command handed over last."""

_PROCESS = 1


def write_timeline(
    path: Path,
    events: np.ndarray,
    items: Sequence[str],
    *,
    clock_mhz: float | None = None,
    labels: Sequence[tuple[int, Sequence[str]]] = (),
) -> None:
    """Write `events` to `path` in the Trace Event Format (JSON).

    Parameters
    ----------
    events: TIMELINE_EVENT, 1-D.
    items: names of the bits of `activity`; each becomes a thread, in this order, after the commands.
    clock_mhz: time is cycles at this clock; without it a cycle is shown as 1 us.
    labels: (cycle, names), ascending: names of commands by index of the programs that start from that cycle on.

    A command's event reaches from its hand-over to the next one's: units work on several commands at a time. `args`
    hold the exact cycles: `start`, `cycles`, and `active` without the gaps that were merged.
    """
    microseconds = 1.0 if clock_mhz is None else 1.0 / clock_mhz
    names = ("command", *items)
    trace: list[dict[str, Any]] = [
        {"ph": "M", "pid": _PROCESS, "name": "process_name", "args": {"name": "MEADOW"}}
    ]
    for thread, name in enumerate(names):
        for kind, value in (
            ("thread_name", {"name": name}),
            ("thread_sort_index", {"sort_index": thread}),
        ):
            trace.append({"ph": "M", "pid": _PROCESS, "tid": thread, "name": kind, "args": value})
    for event in np.sort(events, order=["start", "item"]):
        item, command = int(event["item"]), int(event["command"])
        start, cycles = int(event["start"]), int(event["cycles"])
        arguments = {"start": start, "cycles": cycles, "active": int(event["active"])}
        if item == COMMAND_ITEM:
            thread = 0
            names_now = next((names for cycle, names in reversed(labels) if cycle <= start), ())
            name = names_now[command] if command < len(names_now) else f"command {command}"
            arguments["command"] = command
        else:
            thread, name = 1 + item, items[item]
        trace.append(
            {
                "ph": "X",
                "pid": _PROCESS,
                "tid": thread,
                "name": name,
                "ts": round(start * microseconds, 6),
                "dur": round(cycles * microseconds, 6),
                "args": arguments,
            }
        )
    note = "1 us is 1 clock cycle" if clock_mhz is None else f"clock of {clock_mhz} MHz"
    document = {
        "traceEvents": trace,
        "displayTimeUnit": "ns",
        "metadata": {"clock_mhz": clock_mhz, "time": note},
    }
    with replacing(path, "the timeline") as file:
        file.write(json.dumps(document, separators=(",", ":")).encode())
