# SPDX-License-Identifier: Apache-2.0
"""What a DSP48E2 can take in of the fabric around it; Yosys leaves its registers and its adder
unused, but for those adders that `boards.synthesis.dsp_adder` has put there with M and P.

The rule. A multiplier of the netlist that has no register P yet takes in

- behind it, registers M and P (48 bits), or only one of them: all that looks at its product is one
  register in every bit, and all that looks at that is one more;
- the adder behind the product or behind M, with the register P behind the adder: see
  `boards.synthesis.adder`; what is added enters at port C (48 bits), which Vivado may replace by
  the cascade of a neighbour where it is the neighbour's P;
- before it, registers A1 and A2 (30 bits), B1 and B2 (18 bits), and C where port C is in use.

A DSP that has P, be it an adder with an operand of 48 bits at A and B and another at C, or a
multiplier with an adder, takes in those before it and nothing behind P.

A register of all bits of a port is taken in or none of it. It is taken in if every bit is an FDRE
or the constant 0, they share clock, enable and reset, start at 0, and nothing but ports of DSPs
that take them in looks at them; several DSPs may each have a copy. Both registers of A, or of B,
share a reset, and all registers of a DSP its clock. No register is taken in twice. D, AD and the
pre-adder are not used by the flow, so nothing is claimed for them.

What it leaves out: shift registers in LUTs, registers of which a part has other loads, registers
that set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from boards.synthesis.adder import Net, find_adder
from boards.synthesis.netlist import Cell, Netlist, Pin

__all__ = ["PORT_STAGES", "Absorbed", "absorbed"]

PORT_STAGES: Mapping[str, int] = {"A": 2, "B": 2, "C": 1}
"""Port of a DSP48E2 -> registers that it has behind one another."""

_Control = tuple[Net, Net, Net]
"""Nets of clock, enable and reset."""


@dataclass(frozen=True)
class Absorbed:
    """Numbers of the cells of a netlist that its DSPs take in.

    registers: flip-flops.
    luts: of the adders.
    """

    registers: frozenset[int]
    luts: frozenset[int]


@dataclass(eq=False)
class _Stage:
    """One register of one port.

    cells: its flip-flops.
    pins: the inputs that they drive: of the DSP or of its adder, or of the stage behind.
    control: of all of them.
    behind: the stage between it and the DSP.
    """

    cells: frozenset[int]
    pins: frozenset[Pin]
    control: _Control
    behind: _Stage | None = field(default=None, repr=False)


def absorbed(netlist: Netlist) -> Absorbed:
    """What the DSPs of a netlist take in."""
    found = _Absorption(netlist)
    dsps = [number for number, cell in enumerate(netlist.cells) if cell.kind == "DSP48E2"]
    for number in dsps:
        found.take_outputs(number)
    for number in dsps:
        found.find_inputs(number)
    return Absorbed(frozenset(found.registers) | found.inputs(), frozenset(found.luts))


class _Absorption:
    def __init__(self, netlist: Netlist) -> None:
        self.netlist = netlist
        self.registers: set[int] = set()
        self.luts: set[int] = set()
        self._clocks: dict[int, Net] = {}
        self._added: dict[int, tuple[tuple[Net, ...], Mapping[int, frozenset[Pin]]]] = {}
        self._stages: list[_Stage] = []

    def take_outputs(self, dsp: int) -> None:
        """M, the adder, P."""
        cell = self.netlist.cells[dsp]
        if cell.parameter("PREG"):
            self._clocks[dsp] = cell.inputs["CLK"][0]
            return
        product = {
            bit: net
            for bit, net in enumerate(cell.outputs.get("P", ()))
            if isinstance(net, int) and (self.netlist.loads.get(net) or net in self.netlist.outside)
        }
        extension = _extension(cell, product)
        multiplied = self._behind(dsp, product)
        if multiplied is not None:
            self._take(dsp, multiplied)
            product = {
                bit: self.netlist.cells[register].outputs["Q"][0]
                for bit, register in multiplied.items()
            }
            if isinstance(extension, int):
                extension = product[max(product)]
            total = self._behind(dsp, product)
            if total is not None:
                self._take(dsp, total)
                return
        adder = find_adder(self.netlist, product, extension)
        total = None if adder is None else self._behind(dsp, adder.sums)
        if adder is not None and total is not None:
            self._take(dsp, total)
            self.luts |= adder.luts
            self._added[dsp] = adder.other, adder.pins

    def find_inputs(self, dsp: int) -> None:
        """Candidates for A, B and C; `inputs` says which of them hold."""
        cell = self.netlist.cells[dsp]
        for port in ("A", "B", "C") if cell.parameter("PREG") else ("A", "B"):
            bits = cell.inputs.get(port, [])
            pins = {net: set[Pin]() for net in bits if isinstance(net, int)}
            for bit, net in enumerate(bits):
                if isinstance(net, int):
                    pins[net].add((dsp, port, bit))
            self._stages += self._candidates(dsp, bits, pins, PORT_STAGES[port])
        if dsp in self._added:
            other, where = self._added[dsp]
            self._stages += self._candidates(dsp, other, where, PORT_STAGES["C"])

    def inputs(self) -> frozenset[int]:
        """Flip-flops of all candidates that are left when none of them lacks anything."""
        stages = self._stages
        while True:
            inner = {pin for stage in stages for pin in stage.pins}
            # A flip-flop in front of another leaves the fabric only with all copies of that one.
            kept: dict[int, int] = {}
            for stage in stages:
                if stage.behind is None:
                    for cell in stage.cells:
                        kept[cell] = kept.get(cell, 0) + 1
            for stage in stages:
                if stage.behind is not None:
                    for cell in stage.behind.cells:
                        kept[cell] = kept.get(cell, 0) - 1
            bare = {cell for cell, count in kept.items() if count > 0}
            alive = set(stages)
            left = [
                stage
                for stage in stages
                if (stage.behind is None or stage.behind in alive)
                and all(
                    pin in inner and not (stage.behind is not None and pin[0] in bare)
                    for cell in stage.cells
                    for pin in self._loads(cell)
                )
            ]
            if len(left) == len(stages):
                return frozenset(cell for stage in stages for cell in stage.cells)
            stages = left

    def _candidates(
        self,
        dsp: int,
        bits: Iterable[Net],
        pins: Mapping[int, Iterable[Pin]],
        depth: int,
    ) -> Iterator[_Stage]:
        nets = set(bits)
        behind: _Stage | None = None
        where = {net: frozenset(of) for net, of in pins.items()}
        for _ in range(depth):
            cells: set[int] = set()
            for net in nets:
                if net in ("0", "x"):
                    continue
                pin = self.netlist.drivers.get(net) if isinstance(net, int) else None
                if pin is None or not _plain(self.netlist.cells[pin[0]]):
                    return
                cells.add(pin[0])
            controls = {_control(self.netlist.cells[cell]) for cell in cells}
            if len(controls) != 1 or cells & self.registers:
                return
            control = controls.pop()
            if self._clocks.setdefault(dsp, control[0]) != control[0]:
                return
            if behind is not None and behind.control[2] != control[2]:
                return
            stage = _Stage(frozenset(cells), frozenset().union(*where.values()), control, behind)
            yield stage
            nets = {self.netlist.cells[cell].inputs["D"][0] for cell in cells}
            where = {cell: frozenset({(cell, "D", 0)}) for cell in cells}
            behind = stage

    def _behind(self, dsp: int, nets: Mapping[int, int]) -> dict[int, int] | None:
        """Bit -> the flip-flop that alone looks at it; None unless together they are a register
        that a DSP can have.
        """
        found: dict[int, int] = {}
        for bit, net in nets.items():
            loads = self.netlist.loads.get(net, [])
            if net in self.netlist.outside or len(loads) != 1 or loads[0][1] != "D":
                return None
            if not _plain(self.netlist.cells[loads[0][0]]):
                return None
            found[bit] = loads[0][0]
        controls = {_control(self.netlist.cells[cell]) for cell in found.values()}
        if len(controls) != 1 or self.registers & set(found.values()):
            return None
        clock = controls.pop()[0]
        return found if self._clocks.get(dsp, clock) == clock else None

    def _take(self, dsp: int, register: Mapping[int, int]) -> None:
        self.registers |= set(register.values())
        first = self.netlist.cells[next(iter(register.values()))]
        self._clocks[dsp] = first.inputs["C"][0]

    def _loads(self, cell: int) -> list[Pin]:
        net = self.netlist.cells[cell].outputs["Q"][0]
        assert isinstance(net, int)
        outside = [(-1, "", 0)] if net in self.netlist.outside else []
        return self.netlist.loads.get(net, []) + outside


def _plain(cell: Cell) -> bool:
    """A flip-flop that a DSP can have: reset to 0 if at all, 0 or anything at the start."""
    inverted = any(cell.parameter(name) for name in cell.parameters if name.startswith("IS_"))
    return cell.kind == "FDRE" and cell.parameter("INIT") == 0 and not inverted


def _control(cell: Cell) -> _Control:
    return cell.inputs["C"][0], cell.inputs["CE"][0], cell.inputs["R"][0]


def _extension(dsp: Cell, product: Mapping[int, int]) -> Net:
    """What the bits of the product are above those that something looks at, "x" if that is not
    known.
    """
    if not product:
        return "x"
    known = max(product) + 1
    signed, unsigned = 0, 0
    positive = True
    for port in ("A", "B"):
        bits = dsp.inputs[port]
        top = bits[-1]
        width = next(bit for bit, net in enumerate(bits) if set(bits[bit:]) == {top})
        signed += width + (top != "0")
        unsigned += width
        positive = positive and top == "0"
    if positive and known >= unsigned:
        return "0"
    return product[max(product)] if known >= signed else "x"
