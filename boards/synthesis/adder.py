# SPDX-License-Identifier: Apache-2.0
"""Adders behind multipliers: a chain of carries that adds a product to something or subtracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from boards.synthesis.netlist import Netlist, Pin

__all__ = ["ALU_BITS", "Adder", "Net", "find_adder"]

Net: TypeAlias = int | str

ALU_BITS = 48
"""Of the adder of a DSP48E2, and of its port C."""


@dataclass(frozen=True)
class Adder:
    """One adder.

    sums: bit -> net of the sum, where something looks at it.
    other: what is added, from bit 0 on; constants are "0" and "1".
    pins: net of `other` -> the inputs of cells of this adder that it goes to.
    luts: cells that are this adder's alone.
    """

    sums: Mapping[int, int]
    other: tuple[Net, ...]
    pins: Mapping[int, frozenset[Pin]]
    luts: frozenset[int]


def find_adder(netlist: Netlist, product: Mapping[int, int], extension: Net) -> Adder | None:
    """The adder that is all that looks at a product, None if there is no such adder.

    product: bit -> net, from bit 0 on, of the product or of a register behind it.
    extension: what stands for the bits above: "0", the net of the sign, or "x" where the product
        has bits above that are not among these.

    It is one if in every bit the carry chain is given m ^ z, made by a LUT of its own, or m or z
    alone where the other is constant, with m the bit of the product; if it adds (z + m),
    or subtracts (z - m, m - z), the same in every bit; if its carry in is a constant and nothing
    looks at its carries; and if it has at most 48 bits. All of that the ALU of a DSP48E2 does.
    """
    if not product or min(product) != 0:
        return None
    chain = _chain(netlist, product[0])
    if chain is None:
        return None
    start, slices = chain
    last = max((bit for bit, entry in enumerate(slices) if _used(netlist, entry[2])), default=-1)
    if not 0 <= last < ALU_BITS:
        return None
    modes = {"add", "z-m", "m-z"} & ({"add"} if start == "0" else {"z-m", "m-z"})
    found = _Found(netlist, slices[: last + 1])
    for bit in range(last + 1):
        m = product.get(bit, extension)
        if m == "x" or (bit not in product and bit < max(product)):
            return None
        modes = found.take(slices[bit], m, modes)
        if not modes:
            return None
    taken = set(found.inner)
    for net in product.values():
        if net in netlist.outside or not taken.issuperset(netlist.loads[net]):
            return None
    sums = {bit: slices[bit][2] for bit in range(last + 1) if _used(netlist, slices[bit][2])}
    pins = {net: frozenset(where) for net, where in found.pins.items()}
    return Adder(sums, tuple(found.other), pins, frozenset(found.luts))


class _Found:
    """What has been found of an adder so far."""

    def __init__(self, netlist: Netlist, slices: list[_Slice]) -> None:
        self.netlist = netlist
        self.selects = {(carry, "S", index) for (carry, index), _, _ in slices}
        self.other: list[Net] = []
        self.inner: list[Pin] = []
        self.pins: dict[int, set[Pin]] = {}
        self.luts: set[int] = set()

    def take(self, entry: _Slice, m: Net, modes: set[str]) -> set[str]:
        """The modes that one bit more leaves, none if the bit is not one of an adder of m."""
        (carry, index), (select, generate), _ = entry
        terms, inverted, lut = _exclusive_or(self.netlist, select)
        if isinstance(m, int):
            if m not in terms:
                return set()
            terms = terms - {m}
        if len(terms) > 1:
            return set()
        select_pin = (carry, "S", index)
        if lut is not None:
            output = self.netlist.cells[lut].outputs["O"][0]
            # One LUT may serve several bits above the sign of both.
            if not isinstance(output, int) or not self.selects.issuperset(
                self.netlist.loads[output]
            ):
                return set()
            self.luts.add(lut)
        left = set()
        for mode in modes:
            # m ^ z, and its complement where one of the two is subtracted.
            constant = "1" if inverted != (mode != "add") else "0"
            z = next(iter(terms), constant)
            if terms and constant == "1":
                continue
            plain = {"add": (m, z), "z-m": (z,), "m-z": (m,)}[mode]
            if generate in plain:
                left.add(mode)
                chosen = z
        if not left:
            return set()
        self.other.append(chosen)
        pins = [(carry, "DI", index), select_pin]
        if lut is not None:
            pins = [pins[0], *((lut, port, 0) for port in self.netlist.cells[lut].inputs)]
        for pin in pins:
            self.inner.append(pin)
            net = self.netlist.cells[pin[0]].inputs[pin[1]][pin[2]]
            if isinstance(net, int) and net == chosen:
                self.pins.setdefault(net, set()).add(pin)
        return left


_Slice: TypeAlias = tuple[tuple[int, int], tuple[Net, Net], int]
"""Cell and bit of a carry, what selects and what generates there, net of the sum."""


def _chain(netlist: Netlist, first: int) -> tuple[str, list[_Slice]] | None:
    """Carry in and bits of the chain that has a net, or a LUT of the net, in its lowest bit; None
    if something looks at a carry.
    """
    for number, port, bit in netlist.loads.get(first, ()):
        cell = netlist.cells[number]
        if cell.kind in ("LUT1", "LUT2", "INV"):
            output = cell.outputs["O"][0]
            where = netlist.loads.get(output, []) if isinstance(output, int) else []
            if len(where) == 1:
                number, port, bit = where[0]
        if netlist.cells[number].kind == "CARRY4" and port == "S" and bit == 0:
            break
    else:
        return None
    head = netlist.cells[number].inputs
    starts = [head[port][0] for port in ("CI", "CYINIT") if port in head]
    if not all(start in ("0", "1") for start in starts):
        return None
    slices: list[_Slice] = []
    following: int | None = number
    while following is not None:
        number = following
        cell = netlist.cells[number]
        for bit in range(4):
            given = cell.inputs["S"][bit], cell.inputs["DI"][bit]
            total = cell.outputs["O"][bit]
            assert isinstance(total, int)
            slices.append(((number, bit), given, total))
        following = None
        for bit, carry in enumerate(cell.outputs.get("CO", [])):
            for load in netlist.loads.get(carry, ()) if isinstance(carry, int) else ():
                if bit != 3 or load[1] != "CI" or following is not None:
                    return None
                following = load[0]
            if carry in netlist.outside:
                return None
    return ("1" if "1" in starts else "0"), slices


def _exclusive_or(netlist: Netlist, net: Net) -> tuple[frozenset[int], bool, int | None]:
    """Nets whose exclusive or, inverted or not, a net is, and the LUT that makes it; the net alone
    if no small LUT does.
    """
    if not isinstance(net, int):
        return frozenset(), net == "1", None
    pin = netlist.drivers.get(net)
    cell = netlist.driver(net)
    if pin is not None and cell is not None and cell.kind in _CONTENTS:
        contents = _CONTENTS[cell.kind]
        terms = [bits[0] for bits in cell.inputs.values()]
        inverted = contents.get(cell.parameter("INIT"))
        if inverted is not None and all(isinstance(term, int) for term in terms):
            return frozenset(term for term in terms if isinstance(term, int)), inverted, pin[0]
    return frozenset((net,)), False, None


_CONTENTS: Mapping[str, Mapping[int, bool]] = {
    "LUT2": {0b0110: False, 0b1001: True},
    "LUT1": {0b10: False, 0b01: True},
    "INV": {0: True},
}
"""Kind -> contents that make an exclusive or -> whether it is inverted."""


def _used(netlist: Netlist, net: int) -> bool:
    return bool(netlist.loads.get(net)) or net in netlist.outside
