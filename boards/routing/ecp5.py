# SPDX-License-Identifier: Apache-2.0
"""The device of the routed figures, and whether a netlist fits into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["AVAILABLE", "DEVICE", "PACKAGE", "SPEED", "NoRoomError", "check_room", "count_cells"]

DEVICE, PACKAGE, SPEED = "LFE5UM5G-85F", "CABGA756", 8

AVAILABLE: Mapping[str, int] = {"comb": 83640, "ff": 83640, "mult18": 156, "dp16kd": 208}
"""What the device has: LUT4s, flip-flops, multipliers of 18 × 18 bits, memories of 18 Kbit."""

_TAKES: Mapping[str, Mapping[str, int]] = {
    "LUT4": {"comb": 1},
    "CCU2C": {"comb": 2},
    # Four bits of memory, and the two LUT4s of the slice that holds its write port.
    "TRELLIS_DPR16X4": {"comb": 6},
    "TRELLIS_FF": {"ff": 1},
    "MULT18X18D": {"mult18": 1},
    "DP16KD": {"dp16kd": 1},
}


class NoRoomError(ValueError):
    """A netlist needs more than the device has; the message has the numbers."""


def count_cells(module: Mapping[str, Any]) -> dict[str, int]:
    """What the cells of a flat module in the JSON of Yosys take of each kind of `AVAILABLE`.

    ValueError for a cell that this device's primitives do not include.
    """
    counts = dict.fromkeys(AVAILABLE, 0)
    for kind, number in Counter(cell["type"] for cell in module["cells"].values()).items():
        if kind in _TAKES:
            for what, each in _TAKES[kind].items():
                counts[what] += each * number
        elif kind not in ("PFUMX", "L6MUX21", "$scopeinfo"):
            raise ValueError(f"{number} cells {kind} are no primitive of {DEVICE}")
    return counts


def check_room(name: str, counts: Mapping[str, int]) -> None:
    """NoRoomError, naming all that is too much, if `counts` is more than the device has."""
    over = [
        f"{counts[what]} of {room} {what}"
        for what, room in AVAILABLE.items()
        if counts[what] > room
    ]
    if over:
        raise NoRoomError(f"{name} does not fit into {DEVICE}: it needs {', '.join(over)}")
