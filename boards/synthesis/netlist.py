# SPDX-License-Identifier: Apache-2.0
"""A flat netlist of primitives: cells, the nets between them, and where each comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["SEQUENTIAL", "Cell", "Netlist", "Pin"]

SEQUENTIAL = ("FD", "RAM", "URAM", "DSP48", "SRL")
"""How the types of primitives begin that hold something from one clock cycle to the next."""

Pin = tuple[int, str, int]
"""Number of a cell, port, bit."""

_BLOCKS = ("DSP48", "RAMB", "URAM")
_KEPT = (*_BLOCKS, "FD", "LUT1", "LUT2")
"""Of these the parameters matter; of `_BLOCKS` all but the contents."""


@dataclass(slots=True)
class Cell:
    """One primitive, or a black box.

    kind: its type.
    inputs, outputs: port -> nets from bit 0 on; a net is a number, a constant "0", "1", "x" or "z".
    parameters: of DSPs, memories, registers and small LUTs.
    name: of what it holds, or its own.
    place: "file:line" in the sources of the hardware, empty if nothing is known.
    """

    kind: str
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    parameters: dict[str, int | str] = field(default_factory=dict)
    name: str = ""
    place: str = ""

    def parameter(self, name: str) -> int:
        """A number of a parameter, 0 where there is none."""
        value = self.parameters.get(name, 0)
        return value if isinstance(value, int) else 0


@dataclass(slots=True)
class Netlist:
    """The cells of one block.

    inputs, outputs: ports of the block, like those of a cell.
    drivers: net -> the output that drives it; ports of the block are none.
    loads: net -> the inputs of cells that it goes to.
    outside: nets that leave the block.
    """

    name: str
    cells: list[Cell]
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    drivers: dict[int, Pin] = field(init=False)
    loads: dict[int, list[Pin]] = field(init=False)
    outside: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.drivers, self.loads = {}, {}
        leaving = (net for bits in self.outputs.values() for net in bits)
        self.outside = frozenset(net for net in leaving if isinstance(net, int))
        for number, cell in enumerate(self.cells):
            for port, bits in cell.outputs.items():
                for index, net in enumerate(bits):
                    if isinstance(net, int):
                        self.drivers[net] = (number, port, index)
            for port, bits in cell.inputs.items():
                for index, net in enumerate(bits):
                    if isinstance(net, int):
                        self.loads.setdefault(net, []).append((number, port, index))

    def driver(self, net: int | str) -> Cell | None:
        """The cell that drives a net; None for a constant and an input of the block."""
        pin = self.drivers.get(net) if isinstance(net, int) else None
        return None if pin is None else self.cells[pin[0]]

    @classmethod
    def from_yosys(
        cls, name: str, module: Mapping[str, Any], names: Mapping[str, str], root: Path
    ) -> Netlist:
        """Of a module as Yosys writes it with `write_json`.

        names: cell -> what it holds, for the cells that hold something.
        root: of the checkout; what lies below it is named from there.
        """
        cells = []
        for own, entry in module["cells"].items():
            kind = entry["type"]
            if kind.startswith("$"):
                continue
            flows = entry["port_directions"]
            inputs, outputs = {}, {}
            for port, bits in entry["connections"].items():
                if bits:
                    (outputs if flows[port] == "output" else inputs)[port] = bits
            parameters = {}
            if kind.startswith(_KEPT):
                for parameter, value in entry["parameters"].items():
                    if kind.startswith(_BLOCKS) and parameter.startswith("INIT"):
                        continue
                    parameters[parameter] = _number(value)
            place = _place(entry["attributes"].get("src", ""), f"{root}/")
            cells.append(Cell(kind, inputs, outputs, parameters, names.get(own, own), place))
        ports: dict[str, dict[str, list[int | str]]] = {"input": {}, "output": {}}
        for port, entry in module["ports"].items():
            ports[entry["direction"]][port] = entry["bits"]
        return cls(name, cells, ports["input"], ports["output"])

    def write(self, path: Path) -> None:
        """To a file that `read` takes."""
        cells = [
            [cell.kind, cell.inputs, cell.outputs, cell.parameters, cell.name, cell.place]
            for cell in self.cells
        ]
        text = {"name": self.name, "in": self.inputs, "out": self.outputs, "cells": cells}
        path.write_text(json.dumps(text, separators=(",", ":")), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Netlist:
        """From a file of `write`."""
        read = json.loads(path.read_text("utf-8"))
        return cls(read["name"], [Cell(*cell) for cell in read["cells"]], read["in"], read["out"])


def _number(value: int | str) -> int | str:
    """Yosys writes bits as text, and text that could be bits with a space behind it."""
    if isinstance(value, str) and value and set(value) <= {"0", "1"}:
        return int(value, 2)
    return value.strip() if isinstance(value, str) else value


def _place(source: str, root: str) -> str:
    """The first line of the hardware's own sources that a cell comes from, without columns; else
    the first of a library."""
    places = [part.removeprefix(root) for part in source.split("|")]
    own = [part for part in places if part.startswith("rtl_gen/")]
    first = (own or [part for part in places if ".py:" in part] or [""])[0]
    path, _, lines = first.rpartition(":")
    return f"{path}:{lines.split('-')[0].split('.')[0]}" if path else ""
