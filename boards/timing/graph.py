# SPDX-License-Identifier: Apache-2.0
"""Slowest paths of one netlist: from clock edges and inputs through its cells to clock edges and
outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from boards.synthesis.netlist import Cell, Netlist
from boards.timing.delays import Arc, DelayModel, arcs, is_level, launch, setup

__all__ = ["Box", "Graph", "Leg", "LoopError", "Path"]

_DSP = "through a DSP48E2 without registers"
_CONSTANT = "a constant factor in a DSP48E2, which Vivado builds of LUTs"
_OPERANDS = ("A", "B", "D")


class LoopError(ValueError):
    """Combinational logic feeds itself; the message names a cell of the loop."""


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
    start_place, end_place: "file:line", empty if nothing is known.
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
class _Step:
    """From a net's driver to the next one's; `cell` is the one between."""

    source: int
    ns: float
    leg: Leg | None = None


@dataclass(frozen=True, slots=True)
class _End:
    net: int
    ns: float
    name: str
    place: str
    leg: Leg | None = None
    cell: Cell | None = None


class Graph:
    """Arrival times of a netlist under one delay model.

    loads: of nets, where it is not the number of inputs in the netlist (an output counts one).
    boxes: kind -> timing, for the cells that are black boxes.
    input_ns: when inputs arrive; None if paths from inputs are not asked for.
    output_ns: from an output on, behind its wire; None if paths to outputs are not asked for.

    LoopError if a net depends on itself; ValueError for a cell that nobody knows.
    """

    def __init__(
        self,
        netlist: Netlist,
        model: DelayModel,
        *,
        loads: Mapping[int, int] | None = None,
        boxes: Mapping[str, Box] | None = None,
        input_ns: float | None = None,
        output_ns: float | None = None,
    ) -> None:
        self.netlist = netlist
        self._model = model
        self._boxes = boxes or {}
        self._output_ns = output_ns
        self._wires = self._wire_delays(loads or {})
        self.inputs = {
            net: (port, bit)
            for port, nets in netlist.inputs.items()
            for bit, net in enumerate(nets)
            if isinstance(net, int)
        }
        self._steps: dict[int, list[_Step]] = {}
        self._starts: dict[int, tuple[float, Leg | None]] = {}
        for net, (number, port, bit) in netlist.drivers.items():
            cell = netlist.cells[number]
            self._steps[net] = list(self._into(cell, port, bit))
            start = self._launch(cell, port, bit)
            if start is not None:
                self._starts[net] = start
        if input_ns is not None:
            self._starts |= {net: (input_ns, None) for net in self.inputs}
        self._order = self._ordered()
        self._arrivals: dict[int, tuple[float, _Step | None]] = {}
        for net in self._order:
            start = self._starts.get(net)
            best = None if start is None else (start[0], None)
            for step in self._steps.get(net, ()):
                before = self._arrivals.get(step.source)
                if before is not None and (best is None or before[0] + step.ns > best[0]):
                    best = (before[0] + step.ns, step)
            if best is not None:
                self._arrivals[net] = best
        self._ends = list(self._all_ends())

    def wire(self, net: int) -> float:
        """The delay of a net."""
        return self._wires.get(net, self._model.base_ns)

    def worst_ns(self) -> float:
        """Of the slowest path, 0 if there is none."""
        return max((ns for ns, _ in self._timed_ends()), default=0.0)

    def above(self, limit_ns: float) -> int:
        """Ends of paths that are slower."""
        return sum(ns > limit_ns for ns, _ in self._timed_ends())

    def paths(self) -> Iterator[Path]:
        """From the slowest on, folded (`Path`)."""
        seen = set()
        for ns, end in sorted(self._timed_ends(), key=lambda item: -item[0]):
            path = self._path(ns, end)
            key = re.sub(r"\d+", "#", f"{path.start} {path.end}")
            if key not in seen:
                seen.add(key)
                yield path

    def box(self) -> Box:
        """The netlist as a black box; it was to be made without `input_ns` and `output_ns`."""
        outputs = [
            (port, bit, net)
            for port, nets in self.netlist.outputs.items()
            for bit, net in enumerate(nets)
            if isinstance(net, int)
        ]
        launches = {}
        for port, bit, net in outputs:
            if net in self._arrivals:
                launches[port, bit] = self._leg_to(net)
        return Box(launches, self._box_arcs(outputs), self._box_ends())

    def _wire_delays(self, loads: Mapping[int, int]) -> dict[int, float]:
        counts = {net: len(pins) for net, pins in self.netlist.loads.items()}
        for nets in self.netlist.outputs.values():
            for net in nets:
                if isinstance(net, int):
                    counts[net] = counts.get(net, 0) + 1
        counts |= loads
        self._loads = counts
        delays = {count: self._model.wire(count) for count in set(counts.values())}
        return {net: delays[count] for net, count in counts.items()}

    def _over_wire(self, net: int, arc: Arc) -> float:
        """An arc with the wire in front of it."""
        driver = self.netlist.driver(net)
        if (
            driver is not None
            and arc.beside
            and driver.kind.startswith(arc.beside)
            and not (arc.alone and self._loads.get(net, 1) > 1)
        ):
            return arc.ns
        return arc.ns + arc.apart + self.wire(net)

    def _into(self, cell: Cell, port: str, bit: int) -> Iterator[_Step]:
        box = self._boxes.get(cell.kind)
        if box is None:
            for arc in arcs(cell, port, bit):
                net = cell.inputs[arc.port][arc.bit]
                if isinstance(net, int):
                    yield _Step(net, self._over_wire(net, arc))
            return
        for name, index, leg, wired in box.arcs.get((port, bit), ()):
            net = cell.inputs[name][index]
            if isinstance(net, int):
                yield _Step(net, leg.ns + (self.wire(net) if wired else 0.0), leg)

    def _launch(self, cell: Cell, port: str, bit: int) -> tuple[float, Leg | None] | None:
        box = self._boxes.get(cell.kind)
        if box is not None:
            leg = box.launches.get((port, bit))
            return None if leg is None else (leg.ns, leg)
        ns = launch(cell, port)
        return None if ns is None else (ns, None)

    def _ordered(self) -> list[int]:
        """All nets, each behind those that it depends on."""
        order, state = [], {}
        for first in [*self.inputs, *self._steps]:
            stack = [first]
            while stack:
                net = stack[-1]
                if state.get(net) == 2:
                    stack.pop()
                elif state.get(net) == 1:
                    state[net] = 2
                    order.append(net)
                    stack.pop()
                else:
                    state[net] = 1
                    for step in self._steps.get(net, ()):
                        known = state.get(step.source)
                        if known == 1:
                            cell = self.netlist.driver(step.source)
                            name = f"{cell.kind} {cell.name}" if cell else str(step.source)
                            raise LoopError(
                                f"combinational loop in {self.netlist.name} through {name}"
                            )
                        if known is None:
                            stack.append(step.source)
        return order

    def _all_ends(self) -> Iterator[_End]:
        for cell in self.netlist.cells:
            box = self._boxes.get(cell.kind)
            for port, nets in cell.inputs.items():
                arc = None if box is not None else setup(cell, port)
                for bit, net in enumerate(nets):
                    if not isinstance(net, int):
                        continue
                    if box is not None:
                        leg = box.ends.get((port, bit))
                        if leg is not None:
                            name = f"{cell.name}: {leg.name}"
                            ns = self.wire(net) + leg.ns
                            yield _End(net, ns, name, leg.place, leg, cell)
                    elif arc is not None:
                        name = f"{cell.name}.{port}"
                        yield _End(net, self._over_wire(net, arc), name, cell.place, None, cell)
        if self._output_ns is not None:
            for port, nets in self.netlist.outputs.items():
                for bit, net in enumerate(nets):
                    if isinstance(net, int):
                        ns = self.wire(net) + self._output_ns
                        yield _End(net, ns, f"output {port}[{bit}]", "")

    def _timed_ends(self) -> Iterator[tuple[float, _End]]:
        for end in self._ends:
            arrival = self._arrivals.get(end.net)
            if arrival is not None:
                yield arrival[0] + end.ns, end

    def _trail(self, net: int) -> tuple[int, list[tuple[int, _Step]]]:
        """The net where the slowest way to `net` begins, and the steps with the nets they reach."""
        steps = []
        while (step := self._arrivals[net][1]) is not None:
            steps.append((net, step))
            net = step.source
        return net, steps[::-1]

    def _along(self, steps: Iterable[tuple[int, _Step]]) -> tuple[int, set[str], list[str]]:
        """Levels of logic, marks, and black boxes on the way."""
        levels, marks, through = 0, set(), []
        for net, step in steps:
            cell = self.netlist.driver(net)
            assert cell is not None
            if step.leg is not None:
                levels += step.leg.levels
                marks |= step.leg.marks
                through.append(cell.name)
            else:
                levels += is_level(cell.kind)
                marks |= _marks(cell)
        return levels, marks, through

    def _first(self, net: int) -> tuple[str, str, Leg | None]:
        cell = self.netlist.driver(net)
        if cell is None:
            port, bit = self.inputs[net]
            return f"input {port}[{bit}]", "", None
        leg = self._starts[net][1]
        if leg is None:
            return cell.name, cell.place, None
        return f"{cell.name}: {leg.name}", leg.place, leg

    def _path(self, ns: float, end: _End) -> Path:
        net, steps = self._trail(end.net)
        levels, marks, through = self._along(steps)
        start, place, first = self._first(net)
        if first is not None:
            levels, marks = levels + first.levels, marks | first.marks
        if end.leg is not None:
            levels, marks = levels + end.leg.levels, marks | end.leg.marks
        elif end.cell is not None:
            marks |= _marks(end.cell)
        return Path(
            ns=ns,
            levels=levels,
            start=start,
            start_place=place,
            end=end.name,
            end_place=end.place,
            marks=tuple(sorted(marks)),
            through=tuple(through),
            block=end.cell.kind if end.leg is not None and end.cell is not None else "",
        )

    def _leg_to(self, net: int) -> Leg:
        first, steps = self._trail(net)
        levels, marks, _ = self._along(steps)
        name, place, _ = self._first(first)
        ns = self._arrivals[net][0]
        return Leg(ns=ns, levels=levels, name=name, place=place, marks=frozenset(marks))

    def _box_arcs(
        self, outputs: Iterable[tuple[str, int, int]]
    ) -> dict[tuple[str, int], list[tuple[str, int, Leg, bool]]]:
        rank = {net: number for number, net in enumerate(self._order)}
        reached = set(self.inputs)
        for net in self._order:
            if any(step.source in reached for step in self._steps.get(net, ())):
                reached.add(net)
        found: dict[int, list[tuple[str, int, Leg, bool]]] = {}
        for net in {net for *_, net in outputs if net in reached}:
            found[net] = list(self._arcs_to(net, reached, rank))
        return {(port, bit): found[net] for port, bit, net in outputs if net in found}

    def _arcs_to(
        self, last: int, reached: set[int], rank: Mapping[int, int]
    ) -> Iterator[tuple[str, int, Leg, bool]]:
        """The slowest way from each input to a net."""
        cone, stack = {last}, [last]
        while stack:
            for step in self._steps.get(stack.pop(), ()):
                if step.source in reached and step.source not in cone:
                    cone.add(step.source)
                    stack.append(step.source)
        after: dict[int, tuple[float, int, _Step | None]] = {last: (0.0, last, None)}
        for net in sorted(cone, key=lambda item: -rank[item]):
            for step in self._steps.get(net, ()):
                ns = after[net][0] + step.ns
                if step.source in cone and ns > after.get(step.source, (-1.0,))[0]:
                    after[step.source] = (ns, net, step)
        for net in cone & set(self.inputs):
            ns, _, step = after[net]
            wired = step is not None
            steps, here = [], net
            while (step := after[here][2]) is not None:
                here = after[here][1]
                steps.append((here, step))
            levels, marks, _ = self._along(steps)
            ns -= self.wire(net) if wired else 0.0
            leg = Leg(ns=ns, levels=levels, marks=frozenset(marks))
            yield (*self.inputs[net], leg, wired)

    def _box_ends(self) -> dict[tuple[str, int], Leg]:
        best: dict[int, tuple[float, int, _Step | _End]] = {}
        for end in self._ends:
            if end.ns > best.get(end.net, (-1.0,))[0]:
                best[end.net] = (end.ns, end.net, end)
        for net in reversed(self._order):
            if net in best:
                for step in self._steps.get(net, ()):
                    ns = best[net][0] + step.ns
                    if ns > best.get(step.source, (-1.0,))[0]:
                        best[step.source] = (ns, net, step)
        legs = {}
        for first, key in self.inputs.items():
            if first not in best:
                continue
            steps, net = [], first
            while isinstance(last := best[net][2], _Step):
                net = best[net][1]
                steps.append((net, last))
            levels, marks, _ = self._along(steps)
            if last.cell is not None:
                marks |= _marks(last.cell)
            legs[key] = Leg(
                ns=best[first][0] - self.wire(first),
                levels=levels,
                name=last.name,
                place=last.place,
                marks=frozenset(marks),
            )
        return legs


def _marks(cell: Cell) -> set[str]:
    """What is to be known about a path through a cell, or into it."""
    if not cell.kind.startswith("DSP48"):
        return set()
    marks = set()
    registers = ("AREG", "BREG", "MREG", "PREG")
    if not any(cell.parameter(register) for register in registers):
        marks.add(_DSP)
    factors = [cell.inputs[port] for port in _OPERANDS[:2] if port in cell.inputs]
    if any(all(not isinstance(net, int) for net in nets) for nets in factors):
        marks.add(_CONSTANT)
    return marks
