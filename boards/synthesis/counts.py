# SPDX-License-Identifier: Apache-2.0
"""What a block takes of a device: primitives of its netlist, counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from boards.synthesis.absorption import absorbed
from boards.synthesis.netlist import Cell, Netlist

__all__ = ["KINDS", "MANY_LOADS", "Fanout", "control_sets", "counts", "fanouts"]

KINDS = (
    *("lut_raw", "lut_absorbed", "lutram", "ff_raw", "ff_absorbed", "dsp", "ramb36", "uram"),
    "control_sets",
)
"""What `counts` counts."""

MANY_LOADS = 1000
"""Nets with more loads than this are worth a look."""

_LUTRAM: Mapping[str, int] = {
    **{"SRL16E": 1, "SRLC32E": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4},
    **{"RAM512X1S": 8, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8},
    **{"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM64X8SW": 8, "RAM32X16DR8": 8},
}
"""LUTs of a primitive that holds something in them."""

_CLOCKS = re.compile(r"C|CLK.*|WCLK|.*CLK")
_CONTROL = {
    "FD": ("C", "CE", "R", "S"),
    "SRL": ("CLK", "CE"),
    "RAM": ("WCLK", "WE"),
}
"""How kinds begin -> the ports of their control set."""


@dataclass(frozen=True)
class Fanout:
    """A net with many loads.

    name: what drives it, a register or memory, or a port of the block.
    place: "file:line" in the sources of the hardware, empty if nothing is known.
    """

    name: str
    loads: int
    place: str


def counts(netlist: Netlist) -> dict[str, float]:
    """KINDS of one copy of a block.

    lut_raw, ff_raw: all LUTs, those that hold something included, and all flip-flops. Each LUT of
        the netlist counts, as if none shared a place with another.
    lut_absorbed, ff_absorbed: without what DSPs take in (`boards.synthesis.absorption`).
    lutram: LUTs, of lut_raw, that are memories or shift registers.
    ramb36: in halves, an 18 kbit block is one.
    control_sets: different clock, enable and set or reset together.
    """
    taken = absorbed(netlist)
    result: dict[str, float] = dict.fromkeys(KINDS, 0)
    for cell in netlist.cells:
        kind = cell.kind
        if kind in _LUTRAM:
            result["lutram"] += _LUTRAM[kind]
        elif kind.startswith("LUT") or kind == "INV":
            result["lut_raw"] += 1
        elif kind.startswith("FD"):
            result["ff_raw"] += 1
        elif kind.startswith("DSP"):
            result["dsp"] += 1
        elif kind.startswith("RAMB"):
            result["ramb36"] += 1 if kind.startswith("RAMB36") else 0.5
        elif kind.startswith("URAM"):
            result["uram"] += 1
        elif kind.startswith(("RAM", "SRL")):
            raise ValueError(f"{netlist.name}: no rule how many LUTs a {kind} takes")
    result["lut_raw"] += result["lutram"]
    result["lut_absorbed"] = result["lut_raw"] - len(taken.luts)
    result["ff_absorbed"] = result["ff_raw"] - len(taken.registers)
    result["control_sets"] = control_sets(netlist)
    return {kind: int(value) if value % 1 == 0 else value for kind, value in result.items()}


def control_sets(netlist: Netlist) -> int:
    """Control sets of flip-flops, of shift registers and of memories in LUTs."""
    return len({found for cell in netlist.cells if (found := _control_set(cell)) is not None})


def _control_set(cell: Cell) -> tuple[object, ...] | None:
    if cell.kind.startswith("RAMB"):
        return None
    for start, ports in _CONTROL.items():
        if cell.kind.startswith(start):
            nets = [bit for port in ports for bit in cell.inputs.get(port, ())]
            return tuple(nets)
    return None


def fanouts(netlist: Netlist) -> list[Fanout]:
    """Nets with more than MANY_LOADS loads but clocks, most first."""
    ports = {net: port for port, bits in netlist.inputs.items() for net in bits}
    found = []
    for net, pins in netlist.loads.items():
        if len(pins) <= MANY_LOADS or any(_CLOCKS.fullmatch(port) for _, port, _ in pins):
            continue
        driver = netlist.driver(net)
        name, place = ports.get(net, ""), ""
        if driver is not None:
            name, place = driver.name, driver.place
        found.append(Fanout(name, len(pins), place))
    return sorted(found, key=lambda fanout: (-fanout.loads, fanout.name))
