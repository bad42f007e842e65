# SPDX-License-Identifier: Apache-2.0
"""Adders that go into DSP48E2s together with the register behind them, which Yosys does by itself
for older families only.

Two kinds, as Vivado takes them (guide UG901; one by an attribute, the other of its own accord):

- An adder of up to 48 bits whose register has the attribute `use_dsp` = "yes" becomes a DSP of its
  own that does not multiply: one operand at A and B together, the other at port C, the register is
  P.
- An adder behind the register of a product joins its multiplier: that register is M, the other
  operand comes in at port C (or from the neighbour's P by the cascade), the register is P.

Of the operations a + b, a - b and, behind a product, c + m and c - m are taken. Everything that
looks at the sum must be the register, and everything that looks at product and M what comes behind
them; a register is one of no enable, no reset and a start at 0.

What works on modules takes objects of pyosys, which only `boards.synthesis.flow` may import.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from boards.synthesis.adder import ALU_BITS

__all__ = ["mark_adders", "take_adders"]

_ATTRIBUTE = "\\use_dsp"
_A_BITS, _B_BITS = 30, 18
_ADD, _SUBTRACT = 0b0000, 0b0011
"""ALUMODE of Z + X + Y and of Z - X - Y."""
_C_AND_AB, _C_AND_M = 0b000_011_00_11, 0b000_011_01_01
"""OPMODE: port C as Z; A:B as X, or the product as X and Y."""
_NO_REGISTERS = (
    *("AREG", "BREG", "CREG", "DREG", "ADREG", "ACASCREG", "BCASCREG", "MREG"),
    *("ALUMODEREG", "CARRYINREG", "CARRYINSELREG", "INMODEREG", "OPMODEREG"),
)

_Bit: TypeAlias = tuple[str, int]
"""Wire and offset of a net; a constant has its value instead of an offset."""


def mark_adders(yosys: Any, design: Any) -> None:
    """Carry the attribute of registers to the adders in front of them, where it survives what
    becomes of wires.
    """
    for module in list(design.modules_.values()):
        asked = {
            wire.name.str()
            for wire in module.wires_.values()
            if _text(yosys, wire, _ATTRIBUTE) == "yes"
        }
        if not asked:
            continue
        wanted = set()
        for cell in module.cells_.values():
            if cell.type.str() == "$dff" and _bits(_port(yosys, cell, "Q"))[0][0] in asked:
                wanted |= set(_bits(_port(yosys, cell, "D")))
        for cell in module.cells_.values():
            if cell.type.str() in ("$add", "$sub") and wanted & set(_bits(_port(yosys, cell, "Y"))):
                cell.set_string_attribute(yosys.IdString(_ATTRIBUTE), "yes")


def take_adders(yosys: Any, module: Any) -> None:
    """Put the adders of a flat module into DSPs, its multipliers being in DSPs already."""
    kinds = {cell.type.str() for cell in module.cells_.values()}
    if kinds & {"$add", "$sub"}:
        _Module(yosys, module).take()


@dataclass(frozen=True)
class _Register:
    """cell: a plain register.
    bits: of its input -> of its output; several where the sign of a sum is repeated.
    """

    cell: Any
    bits: dict[_Bit, list[Any]]


class _Module:
    def __init__(self, yosys: Any, module: Any) -> None:
        self.yosys, self.module = yosys, module
        self.drivers: dict[_Bit, tuple[Any, str, int]] = {}
        self.loads: dict[_Bit, list[Any]] = {}
        self._taken: list[Any] = []
        for cell in module.cells_.values():
            for port, signal in cell.connections_.items():
                for index, bit in enumerate(_bits(signal)):
                    if cell.output(port):
                        self.drivers[bit] = cell, port.str(), index
                    else:
                        self.loads.setdefault(bit, []).append(cell)
        for wire in module.wires_.values():
            for offset in range(wire.width if wire.port_output else 0):
                self.loads.setdefault((wire.name.str(), offset), []).append(None)

    def take(self) -> None:
        adders = [c for c in self.module.cells_.values() if c.type.str() in ("$add", "$sub")]
        for adder in adders:
            register = self._register_behind(_bits(self._get(adder, "Y")))
            if register is not None and (
                self._join(adder, register) or self._alone(adder, register)
            ):
                self._taken += [adder, register.cell]
        # At the end: others may still ask for what drives their operands.
        for cell in self._taken:
            self.module.remove(cell)

    def _alone(self, adder: Any, register: _Register) -> bool:
        if _text(self.yosys, adder, _ATTRIBUTE) != "yes":
            return False
        subtracts = adder.type.str() == "$sub"
        first, second = self._operand(adder, "A"), self._operand(adder, "B")
        at_ab, at_c = (second, first) if subtracts else (first, second)
        dsp = self.module.addCell(
            self.yosys.IdString(f"{adder.name.str()}_dsp"), self.yosys.IdString("\\DSP48E2")
        )
        for name in _NO_REGISTERS:
            self._set_parameter(dsp, name, 0)
        for name, text in (("USE_MULT", "NONE"), ("USE_SIMD", "ONE48"), ("AMULTSEL", "A")):
            dsp.setParam(self.yosys.IdString(f"\\{name}"), self.yosys.Const(text))
        self._connect(dsp, "B", at_ab[:_B_BITS])
        self._connect(dsp, "A", at_ab[_B_BITS:])
        self._finish(dsp, adder, register, at_c, _C_AND_AB)
        return True

    def _join(self, adder: Any, register: _Register) -> bool:
        """Into the multiplier of one of its operands, if one is a product behind its register."""
        ports = ("B", "A") if adder.type.str() == "$add" else ("B",)
        for port in ports:
            found = self._multiplier(adder, port, register)
            if found is not None:
                dsp, m = found
                other = self._operand(adder, "A" if port == "B" else "B")
                self._set_parameter(dsp, "MREG", 1)
                self._enable(dsp, "CEM")
                self._finish(dsp, adder, register, other, _C_AND_M)
                self._taken.append(m)
                return True
        return False

    def _multiplier(self, adder: Any, port: str, behind: _Register) -> tuple[Any, Any] | None:
        """The multiplier whose product an operand is, and the register between them.

        The DSP adds all bits of the product, so the operand must be all of it, or as wide as the
        sum.
        """
        bits = _bits(self._get(adder, port))
        first = self.drivers.get(bits[0])
        if first is None or first[1] != "\\Q" or not self._plain(first[0]):
            return None
        m = first[0]
        clocks = [_bits(self._get(cell, "CLK")) for cell in (m, behind.cell)]
        if clocks[0] != clocks[1] or bits != _bits(self._get(m, "Q")):
            return None
        if any(self.loads[bit] != [adder] for bit in bits if bit in self.loads):
            return None
        product = _bits(self._get(m, "D"))
        origin = self.drivers.get(product[0])
        if origin is None or origin[0].type.str() != "\\DSP48E2":
            return None
        dsp = origin[0]
        whole = _bits(self._get(dsp, "P"))
        own = product == whole[: len(product)] and all(
            load is m for bit in whole for load in self.loads.get(bit, [])
        )
        bare = not any(self._parameter(dsp, name) for name in ("MREG", "PREG"))
        factors = sum(_signed_bits(_bits(self._get(dsp, name))) for name in "AB")
        extends = self._parameter(adder, f"{port}_SIGNED") and len(bits) >= factors
        wide = extends or len(bits) >= self._get(adder, "Y").size()
        return (dsp, m) if own and bare and wide else None

    def _register_behind(self, sums: list[_Bit]) -> _Register | None:
        """The register that alone looks at a sum."""
        seen = [bit for bit in sums if bit in self.loads]
        cells = {load.name.str() if load else "" for bit in seen for load in self.loads[bit]}
        if len(cells) != 1 or "" in cells:
            return None
        cell = self.loads[seen[0]][0]
        if not self._plain(cell):
            return None
        inputs = _bits(self._get(cell, "D"))
        if set(inputs) != set(seen) or len(sums) - sums[::-1].index(seen[-1]) > ALU_BITS:
            return None
        register = _Register(cell, {bit: [] for bit in inputs})
        for bit, output in zip(inputs, self._get(cell, "Q").to_sigbit_vector(), strict=True):
            register.bits[bit].append(output)
        return register

    def _plain(self, cell: Any) -> bool:
        if cell.type.str() != "$dff" or not self._parameter(cell, "CLK_POLARITY"):
            return False
        wires = {bit.wire.name.str(): bit.wire for bit in self._get(cell, "Q").to_sigbit_vector()}
        return not any("1" in _raw(self.yosys, wire, "\\init") for wire in wires.values())

    def _operand(self, adder: Any, port: str) -> list[Any]:
        """Bits of an operand, extended to those of the DSP's adder."""
        bits = list(self._get(adder, port).to_sigbit_vector())[:ALU_BITS]
        zero = self.yosys.SigBit(self.yosys.State.S0)
        fill = bits[-1] if self._parameter(adder, f"{port}_SIGNED") else zero
        return bits + [fill] * (ALU_BITS - len(bits))

    def _finish(
        self, dsp: Any, adder: Any, register: _Register, at_c: list[Any], operation: int
    ) -> None:
        """What both kinds have: port C, operation, register P."""
        mode = _SUBTRACT if adder.type.str() == "$sub" else _ADD
        constant = self.yosys.Const
        self._connect(dsp, "C", at_c)
        dsp.setPort(self._id("OPMODE"), self.yosys.SigSpec(constant(operation, 9)))
        dsp.setPort(self._id("ALUMODE"), self.yosys.SigSpec(constant(mode, 4)))
        dsp.setPort(self._id("CLK"), self._get(register.cell, "CLK"))
        self._set_parameter(dsp, "PREG", 1)
        self._enable(dsp, "CEP")
        spare = self.module.addWire(self._id(f"{dsp.name.str()[1:]}_p", "$"), ALU_BITS)
        p = [self.yosys.SigBit(spare, bit) for bit in range(ALU_BITS)]
        for at, bit in enumerate(_bits(self._get(adder, "Y"))[:ALU_BITS]):
            outputs = register.bits.get(bit, [])
            p[at : at + 1] = outputs[:1] or [p[at]]
            for other in outputs[1:]:
                self.module.connect(self.yosys.SigSpec(other, 1), self.yosys.SigSpec(p[at], 1))
        self._connect(dsp, "P", p)
        places = [cell.get_src_attribute() for cell in (dsp, adder, register.cell)]
        dsp.set_src_attribute("|".join(dict.fromkeys(place for place in places if place)))

    def _enable(self, dsp: Any, port: str) -> None:
        dsp.setPort(self._id(port), self.yosys.SigSpec(self.yosys.Const(1, 1)))

    def _connect(self, cell: Any, port: str, bits: list[Any]) -> None:
        signal = self.yosys.SigSpec()
        for bit in bits:
            signal.append(bit)
        cell.setPort(self._id(port), signal)

    def _get(self, cell: Any, port: str) -> Any:
        return _port(self.yosys, cell, port)

    def _id(self, name: str, kind: str = "\\") -> Any:
        return self.yosys.IdString(kind + name)

    def _parameter(self, cell: Any, name: str) -> int:
        return cell.getParam(self._id(name)).as_int()

    def _set_parameter(self, cell: Any, name: str, value: int) -> None:
        cell.setParam(self._id(name), self.yosys.Const(value, 32))


def _port(yosys: Any, cell: Any, port: str) -> Any:
    return cell.getPort(yosys.IdString(f"\\{port}"))


def _bits(signal: Any) -> list[_Bit]:
    return list(_each(signal))


def _each(signal: Any) -> Iterator[_Bit]:
    for bit in signal.to_sigbit_vector():
        yield (bit.wire.name.str(), bit.offset) if bit.is_wire() else ("", int(bit.data.value))


def _signed_bits(bits: list[_Bit]) -> int:
    """Of a signed number, without copies of its sign."""
    return next(bit for bit, net in enumerate(bits) if set(bits[bit:]) == {bits[-1]}) + 1


def _text(yosys: Any, item: Any, name: str) -> str:
    return item.get_string_attribute(yosys.IdString(name))


def _raw(yosys: Any, item: Any, name: str) -> str:
    key = yosys.IdString(name)
    return item.attributes[key].as_string() if item.has_attribute(key) else ""
