# SPDX-License-Identifier: Apache-2.0
"""The delay model: what a wire and a primitive of UltraScale+ (speed grade -2) take, in ns.

Wires: a net takes `base + slope * log2(loads)`, 1.2 ns at most, under two models. *full* (0.30 and
0.07) stands for a device that is three quarters full; *budget* (0.20 and 0.03) gives about 0.35 ns
for a level of logic with its wire, the figure that designers of this family plan with. No wire
where the slice has a connection of its own: from a LUT into the flip-flop, the carry chain or the
multiplexer beside it, and along a carry chain.

Primitives: 0.05 to 0.13 ns for a LUT, 0.08 clock to output of a flip-flop, 0.05 to 0.10 set-up;
block RAM 1.5 ns without and 0.6 with its output register; DSP48E2 2.6 ns from an operand to the sum
with no register between, 1.3 from its M register, 0.25 from its P register, and 1.2 from an operand
that is only added (port C, and A and B where it does not multiply) to the sum. All are rounded and
ours, of the order that data sheet DS925 and timing reports of the family show; no vendor's
characterisation, no placement and no clock skew are in them. The paths are *modelled* on a
*synthesised* netlist: good for finding slow logic, not for signing off a clock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from boards.synthesis.netlist import Cell

__all__ = [
    "BUDGET",
    "FULL",
    "MODELS",
    "PIN_NS",
    "Arc",
    "DelayModel",
    "arcs",
    "is_level",
    "launch",
    "setup",
]

PIN_NS = 0.6
"""What an input has used of its cycle when it comes in: a register and a wire outside."""

_LONGEST_WIRE_NS = 1.2
_LUT = {"LUT1": 0.05, "LUT2": 0.10, "LUT3": 0.10, "LUT4": 0.11, "LUT5": 0.12, "LUT6": 0.13}
_LUT |= {"INV": 0.05}
_FLIP_FLOP_SETUP = {"D": 0.05, "CE": 0.08, "R": 0.10, "S": 0.10, "CLR": 0.10, "PRE": 0.10}
_FLIP_FLOP_OUT, _SHIFTER_OUT, _LUT_RAM_OUT = 0.08, 0.45, 0.55
_OPERANDS = {"A": "AREG", "B": "BREG", "C": "CREG", "D": "DREG"}
_ADDEND = {"C": "CREG", "PCIN": "", "CARRYIN": "CARRYINREG", "CARRYINSEL": "CARRYINSELREG"}
_ADDEND |= {"OPMODE": "OPMODEREG", "ALUMODE": "ALUMODEREG"}
"""What goes past the multiplier of a DSP48E2, and the register in front of it."""
_FACTORS = ("A", "B")
_MULTIPLIER_AND_ADDER, _ADDER = 2.6, 1.2
_CARRY_IN, _CARRY_BIT, _CARRY_SUM, _CARRY_START = 0.10, 0.02, 0.05, 0.05


@dataclass(frozen=True, kw_only=True)
class DelayModel:
    """A wire's delay by its loads."""

    name: str
    base_ns: float
    slope_ns: float

    def wire(self, loads: int) -> float:
        """Of a net with that many loads."""
        return min(_LONGEST_WIRE_NS, self.base_ns + self.slope_ns * math.log2(max(1, loads)))


FULL = DelayModel(name="full", base_ns=0.30, slope_ns=0.07)
BUDGET = DelayModel(name="budget", base_ns=0.20, slope_ns=0.03)
MODELS = (FULL, BUDGET)


class Arc(NamedTuple):
    """From an input of a cell to an output, or to its clock edge.

    beside: kinds of cells, by how they begin, that reach this input without a wire.
    alone: only if the net has no other load.
    apart: more where there is a wire.
    """

    port: str
    bit: int
    ns: float
    beside: tuple[str, ...] = ()
    alone: bool = False
    apart: float = 0.0


def is_level(kind: str) -> bool:
    """Whether a cell counts as a level of logic: not what a slice has behind its LUTs."""
    return not kind.startswith(("MUXF", "CARRY"))


def arcs(cell: Cell, port: str, bit: int) -> Iterator[Arc]:
    """To a bit of an output within the cycle.

    ValueError for a primitive that the model does not know.
    """
    kind = cell.kind
    if kind in _LUT:
        for name in cell.inputs:
            yield Arc(name, 0, _LUT[kind])
    elif kind.startswith("MUXF"):
        for name in cell.inputs:
            yield Arc(name, 0, 0.08, () if name == "S" else ("LUT", "MUXF"))
    elif kind.startswith("CARRY"):
        yield from _carry(cell, port, bit)
    elif kind.startswith("SRL"):
        if port == "Q":
            yield from _all(cell, r"A\d*", 0.25)
    elif kind.startswith("DSP48"):
        yield from _dsp(cell)
    elif kind.startswith("RAM") and not kind.startswith("RAMB"):
        read = {"SPO": r"A\d*", "DPO": r"DPRA\d*", "O": r"A\d*"}
        address = read.get(port, f"ADDR{port.removeprefix('DO')}")
        yield from _all(cell, address, 0.15 if "32" in kind or "64" in kind else 0.35)
    elif not kind.startswith(("FD", "RAMB", "URAM", "VCC", "GND")):
        raise ValueError(f"the delay model has no primitive {kind} (cell {cell.name})")


def launch(cell: Cell, port: str) -> float | None:
    """From the clock edge to an output; None for a cell that holds nothing there."""
    kind = cell.kind
    if kind.startswith("FD"):
        return _FLIP_FLOP_OUT
    if kind.startswith("RAMB"):
        side = "A" if port in ("DOUTADOUT", "DOUTPADOUTP", "DOADO", "DOPADOP") else "B"
        return 0.6 if cell.parameter(f"DO{side}_REG") else 1.5
    if kind.startswith("URAM"):
        return 0.7 if cell.parameters.get(f"OREG_{port[-1]}") in (1, "TRUE") else 1.5
    if kind.startswith("SRL"):
        return _SHIFTER_OUT
    if kind.startswith("RAM"):
        return _LUT_RAM_OUT
    if kind.startswith("DSP48"):
        if cell.parameter("PREG"):
            return 0.25
        if cell.parameter("MREG"):
            return 1.3
        return 2.9 if cell.parameter("AREG") or cell.parameter("BREG") else None
    return None


def setup(cell: Cell, port: str) -> Arc | None:
    """From bit 0 of an input to the clock edge; None for clocks and for cells that hold nothing."""
    kind, ns = cell.kind, None
    if kind.startswith("FD"):
        ns = _FLIP_FLOP_SETUP.get(port)
        if port == "D":
            return Arc(port, 0, _FLIP_FLOP_SETUP[port], ("LUT", "CARRY", "MUXF"), alone=True)
    elif kind.startswith(("RAMB", "URAM")):
        ns = None if "CLK" in port else 0.35
    elif kind.startswith("DSP48"):
        ns = _dsp_setup(cell, port)
    elif kind.startswith("SRL"):
        ns = {"D": 0.12, "CE": 0.15}.get(port)
    elif kind.startswith("RAM"):
        if port in ("WE", "ADDRH", "ADDRD") or re.fullmatch(r"A\d*", port):
            ns = 0.25
        elif re.fullmatch(r"D(I[A-H]?)?", port):
            ns = 0.15
    return None if ns is None else Arc(port, 0, ns)


def _all(cell: Cell, pattern: str, ns: float) -> Iterator[Arc]:
    for name, nets in cell.inputs.items():
        if re.fullmatch(pattern, name):
            yield from (Arc(name, bit, ns) for bit in range(len(nets)))


def _carry(cell: Cell, port: str, bit: int) -> Iterator[Arc]:
    out = _CARRY_SUM if port == "O" else 0.0
    for name in ("S", "DI"):
        for below in range(min(bit + 1, len(cell.inputs.get(name, ())))):
            if name == "S" or port == "CO" or below < bit:
                ns = _CARRY_IN + _CARRY_BIT * (bit - below) + out
                yield Arc(name, below, ns, ("LUT",), alone=True)
    for name in ("CI", "CYINIT", "CI_TOP"):
        if name in cell.inputs:
            ns = _CARRY_BIT * (bit + 1) + out
            yield Arc(name, 0, ns, ("CARRY",), apart=_CARRY_START)


def _dsp(cell: Cell) -> Iterator[Arc]:
    if cell.parameter("PREG"):
        return
    for name, nets in cell.inputs.items():
        if name in _ADDEND:
            register, ns = _ADDEND[name], _ADDER
        elif name in _FACTORS and not _multiplies(cell):
            register, ns = _OPERANDS[name], _ADDER
        elif name in _OPERANDS and not cell.parameter("MREG"):
            register, ns = _OPERANDS[name], _MULTIPLIER_AND_ADDER
        else:
            continue
        if not cell.parameter(register):
            yield from (Arc(name, bit, ns) for bit in range(len(nets)))


def _dsp_setup(cell: Cell, port: str) -> float | None:
    if port == "CLK":
        return None
    if port in _OPERANDS:
        if cell.parameter(_OPERANDS[port]):
            return 0.25
        if port != "C" and cell.parameter("MREG"):
            return 1.6
        added = port == "C" or (port in _FACTORS and not _multiplies(cell))
        whole = _ADDER if added else _MULTIPLIER_AND_ADDER
        return whole if cell.parameter("PREG") else None
    if port == "PCIN":
        return 1.0 if cell.parameter("PREG") else None
    if port in _ADDEND and not cell.parameter(_ADDEND[port]):
        return _ADDER if cell.parameter("PREG") else None
    return None if port in ("ACIN", "BCIN") else 0.4


def _multiplies(cell: Cell) -> bool:
    return cell.parameters.get("USE_MULT") != "NONE"
