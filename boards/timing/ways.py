# SPDX-License-Identifier: Apache-2.0
"""Ways through netlists: whole paths, and the legs of a path that lie in a black box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from boards.synthesis.netlist import Cell

__all__ = ["CONSTANT_FACTOR", "UNREGISTERED_DSP", "Box", "End", "Leg", "Path", "Step", "marks_of"]

UNREGISTERED_DSP = "through a DSP48E2 without registers"
CONSTANT_FACTOR = "a constant factor in a DSP48E2, which Vivado builds of LUTs"
_FACTORS = ("A", "B")
_REGISTERS = ("AREG", "BREG", "MREG", "PREG")


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A way through a black box, or its part of one; a net outside has its delay there.

    levels: of logic.
    name, place: of the register where it begins or ends, "file:line".
    marks: what is to be known about it.
    """

    ns: float
    levels: int = 0
    name: str = ""
    place: str = ""
    marks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Box:
    """Timing of a black box; keys are port and bit.

    launches: of outputs, from its own registers.
    arcs: of outputs, from inputs, each with whether a wire leads to that input inside.
    ends: of inputs, to its own registers.
    """

    launches: Mapping[tuple[str, int], Leg] = field(default_factory=dict)
    arcs: Mapping[tuple[str, int], list[tuple[str, int, Leg, bool]]] = field(default_factory=dict)
    ends: Mapping[tuple[str, int], Leg] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Path:
    """A path, at most one of those that differ in digits of their names only.

    start, end: registers, "block copy: name" where they lie in a black box, or ports.
    start_place, end_place: "file:line", of the nearest cell of the path that has one; may be empty.
    through: black boxes that it passes.
    block: the black box that it ends in, empty if it ends outside of all.
    """

    ns: float
    levels: int
    start: str
    start_place: str
    end: str
    end_place: str
    marks: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    block: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """From the driver of net `source` to that of another, through a cell.

    leg: in the cell, if it is a black box.
    """

    source: int
    ns: float
    leg: Leg | None = None


@dataclass(frozen=True, slots=True)
class End:
    """From the driver of a net to where a path ends: in `cell`, in an output if there is none.

    leg: in the cell, if it is a black box.
    """

    net: int
    ns: float
    name: str
    place: str
    leg: Leg | None = None
    cell: Cell | None = None


def marks_of(cell: Cell) -> set[str]:
    """What is to be known about a path through a cell, or into it."""
    if not cell.kind.startswith("DSP48"):
        return set()
    marks = set()
    if not any(cell.parameter(register) for register in _REGISTERS):
        marks.add(UNREGISTERED_DSP)
    multiplies = cell.parameters.get("USE_MULT") != "NONE"
    factors = [cell.inputs[port] for port in _FACTORS if port in cell.inputs and multiplies]
    if any(all(not isinstance(net, int) for net in nets) for nets in factors):
        marks.add(CONSTANT_FACTOR)
    return marks
