# SPDX-License-Identifier: Apache-2.0
"""What every unit of the chip did when and for which command, as a trace for Perfetto or
chrome://tracing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from meadow.atomic_write import replacing
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.activity import activity_items, activity_units
from rtl_gen.interfaces.command import NO_COMMAND

__all__ = [
    "TIMELINE_EVENT",
    "TIMELINE_TRACK",
    "Track",
    "native_tracks",
    "timeline_tracks",
    "write_timeline",
]

_TRACK_ITEMS = 6

TIMELINE_EVENT = np.dtype(
    [
        ("start", "u8"),
        ("cycles", "u8"),
        ("active", "u8", _TRACK_ITEMS),
        ("track", "u4"),
        ("command", "u4"),
    ]
)
"""What a track shows of one command without a gap: first cycle, cycles to its end, cycles in which
each of the track's items really was 1; the track; index of the command, or NO_COMMAND."""

TIMELINE_TRACK = np.dtype([("unit", "u4"), ("first", "u4"), ("items", "u4")])
"""A track: field of `unit_command` that names its command; bit of `activity` of its first item, and
how many follow.
"""

_PROCESS = 1
_WAITS = {
    "tile": ("stall_tile", "stall_decoder"),
    "operand": ("stall_operand",),
    "drain": ("stall_drain",),
    "softmax": ("stall_softmax",),
}
"""Items of the tracks below the array's, by what it waits for."""
_OF_PROGRAM = {"sequencer": "all handed over"}
"""Events of no command, where they are not reads of commands."""


class Track(NamedTuple):
    """A row of the timeline: a unit of `activity_units`, and which of its items make up the row.

    The row's event of a command is open while one of `items` is 1; the first one is what `active`
    counts.
    """

    name: str
    unit: str
    items: tuple[str, ...]


def timeline_tracks(config: AcceleratorConfig) -> tuple[Track, ...]:
    """One track per unit, in the order in which data and commands pass them; below the array what
    it waits for.
    """
    tracks = []
    for name, items in activity_units(config):
        tracks.append(Track(name, name, items))
        if name == "array":
            tracks += [Track(f"array waits: {what}", name, own) for what, own in _WAITS.items()]
    return tuple(tracks)


def native_tracks(config: AcceleratorConfig) -> np.ndarray:
    """`timeline_tracks` as TIMELINE_TRACK for the simulation."""
    fields = {unit.name: index for index, unit in enumerate(activity_units(config))}
    bits = {item: index for index, item in enumerate(activity_items(config))}
    return np.array(
        [
            (fields[track.unit], bits[track.items[0]], len(track.items))
            for track in timeline_tracks(config)
        ],
        TIMELINE_TRACK,
    )


def write_timeline(
    path: Path,
    events: np.ndarray,
    tracks: Sequence[Track],
    *,
    clock_mhz: float | None = None,
    labels: Sequence[tuple[int, Sequence[str]]] = (),
) -> None:
    """Write `events` to `path` in the Trace Event Format (JSON).

    Parameters
    ----------
    events: TIMELINE_EVENT, 1-D.
    tracks: `timeline_tracks`; each becomes a thread, in this order.
    clock_mhz: time is cycles at this clock; without it a cycle is shown as 1 us.
    labels: (cycle, names), ascending: names of commands by index of the programs that start from
        that cycle on.

    An event has the name of the command that the unit worked on. `args` hold its index and the
    exact cycles: `start`, `cycles`, `active` without the gaps that were merged, and of the track's
        other items those that happened.
    """
    microseconds = 1.0 if clock_mhz is None else 1.0 / clock_mhz
    trace: list[dict[str, Any]] = [
        {"ph": "M", "pid": _PROCESS, "name": "process_name", "args": {"name": "MEADOW"}}
    ]
    for thread, track in enumerate(tracks):
        for kind, value in (
            ("thread_name", {"name": track.name}),
            ("thread_sort_index", {"sort_index": thread}),
        ):
            trace.append({"ph": "M", "pid": _PROCESS, "tid": thread, "name": kind, "args": value})
    starts = [cycle for cycle, _ in labels]
    for event in np.sort(events, order=["start", "track"]):
        track = tracks[int(event["track"])]
        command, start, cycles = (int(event[name]) for name in ("command", "start", "cycles"))
        active = dict(zip(track.items, (int(count) for count in event["active"]), strict=False))
        arguments = {"start": start, "cycles": cycles, "active": active.pop(track.items[0])}
        arguments |= {item: count for item, count in active.items() if count}
        if command == NO_COMMAND:
            name = _OF_PROGRAM.get(track.unit, "commands")
        else:
            program = int(np.searchsorted(starts, start, "right")) - 1
            names = labels[program][1] if program >= 0 else ()
            name = names[command] if command < len(names) else f"command {command}"
            arguments["command"] = command
        trace.append(
            {
                "ph": "X",
                "pid": _PROCESS,
                "tid": int(event["track"]),
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
