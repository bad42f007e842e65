# SPDX-License-Identifier: Apache-2.0
"""Slowest paths of a chip that is synthesised block by block, those between blocks included.

Each kind of block becomes a black box (`boards.timing.box`), which stands in the netlist of
the rest for every copy. A wire that crosses a boundary counts the loads on all sides of it; copies
of one kind take the largest count of theirs. Nothing is assumed about a block's inputs and outputs,
only about the pins of the chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boards.synthesis.absorption import absorbed
from boards.synthesis.netlist import Cell, Netlist
from boards.timing.box import black_box
from boards.timing.delays import PIN_NS, DelayModel
from boards.timing.graph import Graph
from boards.timing.ways import Path

__all__ = ["PIN_OUT_NS", "BlockTiming", "block_graph", "block_timing", "chip_timing", "crossings"]

PIN_OUT_NS = 0.05
"""What is left to do behind the wire to a pin."""


@dataclass(frozen=True, kw_only=True)
class BlockTiming:
    """Of one block under one model, or of what ends in it.

    worst_ns: of its slowest path.
    paths: the slowest, from the worst on.
    """

    worst_ns: float
    paths: tuple[Path, ...]


def block_graph(netlist: Netlist, model: DelayModel) -> Graph:
    """Of a block alone: its inputs arrive at PIN_NS, its outputs have one wire before them."""
    taken_in = absorbed(netlist)
    return Graph(netlist, model, taken_in=taken_in, input_ns=PIN_NS, output_ns=PIN_OUT_NS)


def block_timing(netlist: Netlist, model: DelayModel, most: int) -> BlockTiming:
    """The `most` slowest paths of a block alone (`block_graph`)."""
    paths = _first(block_graph(netlist, model), most)
    return BlockTiming(worst_ns=paths[0].ns if paths else 0.0, paths=paths)


def chip_timing(
    blocks: Mapping[str, Netlist], top: str, model: DelayModel, most: int
) -> dict[str, BlockTiming]:
    """By block, `top` among them, the `most` slowest paths that end there.

    blocks: netlists by the kind of cell that stands for them in the netlist `top`.
    LoopError if logic feeds itself across blocks.
    """
    kinds = {name: netlist for name, netlist in blocks.items() if name != top}
    inside, outside = crossings(kinds, blocks[top])
    boxes, paths = {}, {}
    for name, netlist in kinds.items():
        graph = Graph(netlist, model, loads=inside.get(name), taken_in=absorbed(netlist))
        boxes[name] = black_box(graph)
        paths[name] = list(_first(graph, most))
    whole = Graph(
        blocks[top], model, loads=outside, boxes=boxes, input_ns=PIN_NS, output_ns=PIN_OUT_NS
    )
    paths[top] = []
    full: set[str] = set()
    for path in whole.paths():
        name = path.block or top
        if name not in full:
            paths[name].append(path)
        if sum(other.block == path.block for other in paths[name]) >= most:
            full.add(name)
            if len(full) == len(paths):
                break
    return {
        name: BlockTiming(
            worst_ns=max((path.ns for path in found), default=0.0),
            paths=tuple(sorted(found, key=lambda path: -path.ns)[:most]),
        )
        for name, found in paths.items()
    }


def crossings(
    kinds: Mapping[str, Netlist], top: Netlist
) -> tuple[dict[str, dict[int, int]], dict[int, int]]:
    """Loads of the nets that cross a boundary: of each kind the largest of its copies, and of the
    nets of `top`.
    """
    nets = _Joined()
    loads: dict[tuple[int, int], int] = {}
    sides: list[tuple[str, int, int]] = []
    for number, cell in enumerate(top.cells):
        if cell.kind not in kinds:
            continue
        netlist = kinds[cell.kind]
        boundary = set()
        for mine, outer in _connections(netlist, cell):
            nets.join((-1, outer), (number, mine))
            boundary.add(mine)
        for net in boundary:
            loads[number, net] = len(netlist.loads.get(net, ()))
            sides.append((cell.kind, number, net))
    for net, pins in top.loads.items():
        loads[-1, net] = sum(top.cells[number].kind not in kinds for number, *_ in pins)
    for port in top.outputs.values():
        for net in port:
            if isinstance(net, int):
                loads[-1, net] = loads.get((-1, net), 0) + 1
    sums: dict[tuple[int, int], int] = {}
    for key, count in loads.items():
        root = nets.root(key)
        sums[root] = sums.get(root, 0) + count
    inside: dict[str, dict[int, int]] = {}
    for kind, number, net in sides:
        counts = inside.setdefault(kind, {})
        counts[net] = max(counts.get(net, 0), sums[nets.root((number, net))])
    outside = {net: sums[nets.root((side, net))] for side, net in loads if side == -1}
    return inside, outside


def _first(graph: Graph, most: int) -> tuple[Path, ...]:
    return tuple(path for path, _ in zip(graph.paths(), range(most), strict=False))


def _connections(netlist: Netlist, cell: Cell) -> list[tuple[int, int]]:
    """Pairs of a net inside of a black box and the net outside that it is."""
    found = []
    for ports, pins in ((netlist.inputs, cell.inputs), (netlist.outputs, cell.outputs)):
        for port, outer in pins.items():
            if port not in ports or len(ports[port]) != len(outer):
                raise ValueError(f"block {netlist.name} has no port {port} of {len(outer)} bits")
            found += [
                (mine, net)
                for mine, net in zip(ports[port], outer, strict=True)
                if isinstance(mine, int) and isinstance(net, int)
            ]
    return found


class _Joined:
    """Nets of all sides, (number of the black box or -1, net), that are one wire."""

    def __init__(self) -> None:
        self._parents: dict[tuple[int, int], tuple[int, int]] = {}

    def root(self, key: tuple[int, int]) -> tuple[int, int]:
        while (parent := self._parents.get(key, key)) != key:
            self._parents[key] = key = self._parents.get(parent, parent)
        return key

    def join(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        self._parents[self.root(one)] = self.root(other)
