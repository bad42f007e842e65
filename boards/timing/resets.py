# SPDX-License-Identifier: Apache-2.0
"""How many loads the resets of a block have.

A reset is an input or a register whose name has the word `rst` or `reset`, and a LUT that joins one
with something for reset pins only. Its loads are all inputs of primitives that its nets go to, but
for registers and LUTs that are resets again. Black boxes are counted where their netlist is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from boards.synthesis.netlist import Cell, Netlist, Pin

__all__ = ["reset_loads"]

_NAMED = re.compile(r"(?<![a-z])(rst|reset)(?![a-z])")
_LOGIC = ("LUT", "INV")
_PINS = re.compile(r"R|S|CLR|PRE|RST.*")


def reset_loads(netlist: Netlist) -> dict[str, int]:
    """Loads by the name of a reset, most first; the sum of all is what the block loads resets
    with.
    """
    names = dict(_named(netlist))
    waiting = list(names)
    while waiting:
        net = waiting.pop()
        for number, _, _ in netlist.loads.get(net, ()):
            cell = netlist.cells[number]
            for joined in _joined(netlist, cell):
                if joined not in names:
                    names[joined] = names[net]
                    waiting.append(joined)
    loads: dict[str, int] = {}
    for net, name in names.items():
        count = sum(_is_load(netlist, pin, names) for pin in netlist.loads.get(net, ()))
        loads[name] = loads.get(name, 0) + count
    return dict(sorted(loads.items(), key=lambda item: -item[1]))


def _named(netlist: Netlist) -> Iterator[tuple[int, str]]:
    for port, nets in netlist.inputs.items():
        if _NAMED.search(port):
            yield from ((net, port) for net in nets if isinstance(net, int))
    for cell in netlist.cells:
        if cell.kind.startswith("FD") and _NAMED.search(cell.name):
            yield from ((net, cell.name) for net in cell.outputs["Q"] if isinstance(net, int))


def _joined(netlist: Netlist, cell: Cell) -> Iterator[int]:
    """Outputs of a LUT that go to reset pins only."""
    if not cell.kind.startswith(_LOGIC):
        return
    for nets in cell.outputs.values():
        for net in nets:
            if isinstance(net, int):
                pins = netlist.loads.get(net, [])
                if pins and all(_PINS.fullmatch(port) for _, port, _ in pins):
                    yield net


def _is_load(netlist: Netlist, pin: Pin, resets: Container[int | str]) -> bool:
    """Not a black box, and not what only passes the reset on."""
    cell, port = netlist.cells[pin[0]], pin[1]
    if not cell.kind.isupper():
        return False
    passes = any(net in resets for nets in cell.outputs.values() for net in nets)
    return not (passes and (port == "D" or cell.kind.startswith(_LOGIC)))
