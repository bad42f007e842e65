# SPDX-License-Identifier: Apache-2.0
"""What the rest of a chip needs to know about a block's timing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from boards.timing.graph import Graph
from boards.timing.ways import Box, End, Leg, Step, marks_of

__all__ = ["black_box"]


def black_box(graph: Graph) -> Box:
    """A block's netlist as a black box; its graph is one without `input_ns` and `output_ns`."""
    outputs = [
        (port, bit, net)
        for port, nets in graph.netlist.outputs.items()
        for bit, net in enumerate(nets)
        if isinstance(net, int)
    ]
    launches = {}
    for port, bit, net in outputs:
        if net in graph.arrivals:
            launches[port, bit] = _leg_to(graph, net)
    return Box(launches, _arcs(graph, outputs), _ends(graph))


def _leg_to(graph: Graph, net: int) -> Leg:
    first, steps = graph.trail(net)
    levels, marks, _ = graph.along(steps)
    name, place, _ = graph.first(first)
    ns = graph.arrivals[net][0]
    return Leg(ns=ns, levels=levels, name=name, place=place, marks=frozenset(marks))


def _arcs(
    graph: Graph, outputs: Iterable[tuple[str, int, int]]
) -> dict[tuple[str, int], list[tuple[str, int, Leg, bool]]]:
    rank = {net: number for number, net in enumerate(graph.order)}
    reached = set(graph.inputs)
    for net in graph.order:
        if any(step.source in reached for step in graph.steps.get(net, ())):
            reached.add(net)
    found: dict[int, list[tuple[str, int, Leg, bool]]] = {}
    for net in {net for *_, net in outputs if net in reached}:
        found[net] = list(_arcs_to(graph, net, reached, rank))
    return {(port, bit): found[net] for port, bit, net in outputs if net in found}


def _arcs_to(
    graph: Graph, last: int, reached: set[int], rank: Mapping[int, int]
) -> Iterator[tuple[str, int, Leg, bool]]:
    """The slowest way from each input to a net."""
    cone, stack = {last}, [last]
    while stack:
        for step in graph.steps.get(stack.pop(), ()):
            if step.source in reached and step.source not in cone:
                cone.add(step.source)
                stack.append(step.source)
    after: dict[int, tuple[float, int, Step | None]] = {last: (0.0, last, None)}
    for net in sorted(cone, key=lambda item: -rank[item]):
        for step in graph.steps.get(net, ()):
            ns = after[net][0] + step.ns
            if step.source in cone and ns > after.get(step.source, (-1.0,))[0]:
                after[step.source] = (ns, net, step)
    for net in cone & set(graph.inputs):
        ns, _, step = after[net]
        wired = step is not None
        steps, here = [], net
        while (step := after[here][2]) is not None:
            here = after[here][1]
            steps.append((here, step))
        levels, marks, _ = graph.along(steps)
        ns -= graph.wire(net) if wired else 0.0
        leg = Leg(ns=ns, levels=levels, marks=frozenset(marks))
        yield (*graph.inputs[net], leg, wired)


def _ends(graph: Graph) -> dict[tuple[str, int], Leg]:
    best: dict[int, tuple[float, int, Step | End]] = {}
    for end in graph.ends:
        if end.ns > best.get(end.net, (-1.0,))[0]:
            best[end.net] = (end.ns, end.net, end)
    for net in reversed(graph.order):
        if net in best:
            for step in graph.steps.get(net, ()):
                ns = best[net][0] + step.ns
                if ns > best.get(step.source, (-1.0,))[0]:
                    best[step.source] = (ns, net, step)
    legs = {}
    for first, key in graph.inputs.items():
        if first not in best:
            continue
        steps, net = [], first
        while isinstance(last := best[net][2], Step):
            net = best[net][1]
            steps.append((net, last))
        levels, marks, _ = graph.along(steps)
        if last.cell is not None:
            marks |= marks_of(last.cell)
        legs[key] = Leg(
            ns=best[first][0] - graph.wire(first),
            levels=levels,
            name=last.name,
            place=last.place,
            marks=frozenset(marks),
        )
    return legs
