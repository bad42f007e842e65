# SPDX-License-Identifier: Apache-2.0
"""Arrival times in one netlist, and its slowest paths: from clock edges and inputs through its
cells to clock edges and outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from boards.synthesis.absorption import Absorbed
from boards.synthesis.netlist import Netlist
from boards.timing.delays import Arc, DelayModel, arcs, is_level, launch, setup
from boards.timing.ways import UNREGISTERED_DSP, Box, End, Leg, Path, Step, marks_of

__all__ = ["Graph", "LoopError"]


_NOTHING = Absorbed(frozenset(), frozenset())
_DSP_REGISTER_NS = 0.25
"""Set-up of an input register of a DSP, and clock to output of its last."""


class LoopError(ValueError):
    """Combinational logic feeds itself; the message names a cell of the loop."""


class Graph:
    """Arrival times of a netlist under one delay model.

    loads: of nets, where it is not the number of inputs in the netlist (an output counts one).
    boxes: kind -> timing, for the cells that are black boxes.
    taken_in: cells that are parts of DSPs: no wire between such a register and its DSP, and the
        set-up and clock-to-output times of a DSP towards the others. Adders that are taken in keep
        the delays of LUTs and carry chains, which are no shorter than theirs.
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
        taken_in: Absorbed = _NOTHING,
        input_ns: float | None = None,
        output_ns: float | None = None,
    ) -> None:
        self.netlist = netlist
        self._model = model
        self._boxes = boxes or {}
        self._taken_in = taken_in
        self._output_ns = output_ns
        self._wires = self._wire_delays(loads or {})
        self.inputs = {
            net: (port, bit)
            for port, nets in netlist.inputs.items()
            for bit, net in enumerate(nets)
            if isinstance(net, int)
        }
        self.steps: dict[int, list[Step]] = {}
        self.starts: dict[int, tuple[float, Leg | None]] = {}
        for net, (number, port, bit) in netlist.drivers.items():
            self.steps[net] = list(self._into(number, port, bit))
            start = self._launch(number, port, bit)
            if start is not None:
                self.starts[net] = start
        if input_ns is not None:
            self.starts |= {net: (input_ns, None) for net in self.inputs}
        self.order = self._ordered()
        self.arrivals: dict[int, tuple[float, Step | None]] = {}
        for net in self.order:
            start = self.starts.get(net)
            best = None if start is None else (start[0], None)
            for step in self.steps.get(net, ()):
                before = self.arrivals.get(step.source)
                if before is not None and (best is None or before[0] + step.ns > best[0]):
                    best = (before[0] + step.ns, step)
            if best is not None:
                self.arrivals[net] = best
        self.ends = list(self._all_ends())

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

    def _over_wire(self, net: int, arc: Arc, number: int) -> float:
        """An arc into a cell with the wire in front of it."""
        driver = self.netlist.driver(net)
        registers = self._taken_in.registers
        if driver is not None and registers:
            source, cell = self.netlist.drivers[net][0], self.netlist.cells[number]
            product = driver.kind.startswith("DSP48") and not driver.parameter("PREG")
            if number in registers and product:
                return arc.ns
            if source in registers and cell.kind.startswith("DSP48"):
                return arc.ns
            if number in registers and arc.port == "D" and source not in self._taken_in.luts:
                return _DSP_REGISTER_NS + self.wire(net)
        if (
            driver is not None
            and arc.beside
            and driver.kind.startswith(arc.beside)
            and not (arc.alone and self._loads.get(net, 1) > 1)
        ):
            return arc.ns
        return arc.ns + arc.apart + self.wire(net)

    def _into(self, number: int, port: str, bit: int) -> Iterator[Step]:
        cell = self.netlist.cells[number]
        box = self._boxes.get(cell.kind)
        if box is None:
            for arc in arcs(cell, port, bit):
                net = cell.inputs[arc.port][arc.bit]
                if isinstance(net, int):
                    yield Step(net, self._over_wire(net, arc, number))
            return
        for name, index, leg, wired in box.arcs.get((port, bit), ()):
            net = cell.inputs[name][index]
            if isinstance(net, int):
                yield Step(net, leg.ns + (self.wire(net) if wired else 0.0), leg)

    def _launch(self, number: int, port: str, bit: int) -> tuple[float, Leg | None] | None:
        cell = self.netlist.cells[number]
        box = self._boxes.get(cell.kind)
        if box is not None:
            leg = box.launches.get((port, bit))
            return None if leg is None else (leg.ns, leg)
        ns = _DSP_REGISTER_NS if number in self._taken_in.registers else launch(cell, port)
        return None if ns is None else (ns, None)

    def _ordered(self) -> list[int]:
        """All nets, each behind those that it depends on."""
        order, state = [], {}
        for first in [*self.inputs, *self.steps]:
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
                    for step in self.steps.get(net, ()):
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

    def _all_ends(self) -> Iterator[End]:
        for number, cell in enumerate(self.netlist.cells):
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
                            yield End(net, ns, name, leg.place, leg, cell)
                    elif arc is not None:
                        name = f"{cell.name}.{port}"
                        yield End(
                            net, self._over_wire(net, arc, number), name, cell.place, None, cell
                        )
        if self._output_ns is not None:
            for port, nets in self.netlist.outputs.items():
                for bit, net in enumerate(nets):
                    if isinstance(net, int):
                        ns = self.wire(net) + self._output_ns
                        yield End(net, ns, f"output {port}[{bit}]", "")

    def _timed_ends(self) -> Iterator[tuple[float, End]]:
        for end in self.ends:
            arrival = self.arrivals.get(end.net)
            if arrival is not None:
                yield arrival[0] + end.ns, end

    def trail(self, net: int) -> tuple[int, list[tuple[int, Step]]]:
        """The net where the slowest way to `net` begins, and the steps with the nets they reach."""
        steps = []
        while (step := self.arrivals[net][1]) is not None:
            steps.append((net, step))
            net = step.source
        return net, steps[::-1]

    def along(self, steps: Iterable[tuple[int, Step]]) -> tuple[int, set[str], list[str]]:
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
                marks |= marks_of(cell)
                if self._has_registers(net, step.source):
                    marks.discard(UNREGISTERED_DSP)
        return levels, marks, through

    def _has_registers(self, product: int, operand: int) -> bool:
        """Whether the DSP between two nets takes in a register on either side."""
        cells = {number for number, *_ in self.netlist.loads.get(product, ())}
        if operand in self.netlist.drivers:
            cells.add(self.netlist.drivers[operand][0])
        return not self._taken_in.registers.isdisjoint(cells)

    def first(self, net: int) -> tuple[str, str, Leg | None]:
        cell = self.netlist.driver(net)
        if cell is None:
            port, bit = self.inputs[net]
            return f"input {port}[{bit}]", "", None
        leg = self.starts[net][1]
        if leg is None:
            return cell.name, cell.place, None
        return f"{cell.name}: {leg.name}", leg.place, leg

    def _path(self, ns: float, end: End) -> Path:
        net, steps = self.trail(end.net)
        levels, marks, through = self.along(steps)
        places = [place for place in map(self._place, steps) if place]
        start, place, first = self.first(net)
        if first is not None:
            levels, marks = levels + first.levels, marks | first.marks
        if end.leg is not None:
            levels, marks = levels + end.leg.levels, marks | end.leg.marks
        elif end.cell is not None:
            marks |= marks_of(end.cell)
        return Path(
            ns=ns,
            levels=levels,
            start=start,
            start_place=place or next(iter(places), ""),
            end=end.name,
            end_place=end.place or next(reversed(places), ""),
            marks=tuple(sorted(marks)),
            through=tuple(through),
            block=end.cell.kind if end.leg is not None and end.cell is not None else "",
        )

    def _place(self, item: tuple[int, Step]) -> str:
        cell = self.netlist.driver(item[0])
        return "" if cell is None else cell.place
