# SPDX-License-Identifier: Apache-2.0
"""Adders go into DSPs where Vivado puts them there, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.synthesis.absorption import absorbed
from boards.synthesis.netlist import Cell, Netlist
from hw_tests.boards.synthesis.synthesised import synthesised
from meadow.spec.config import named_config
from rtl_gen.lane.lane import Lane


class Adders(wiring.Component):
    """o = a + b, or less b, with `before` registers in front; the text says what else differs."""

    def __init__(self, *, bits: int = 48, before: int = 0, what: str = "yes") -> None:
        self._bits, self._before, self._what = bits, before, what
        ports = {name: In(signed(bits - 1)) for name in ("a", "b")}
        super().__init__(ports | {"c": In(1), "o": Out(signed(bits)), "seen": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operands: list[Value] = [self.a, self.b]
        for stage in range(self._before):
            for side, name in enumerate("ab"):
                register = Signal(self.a.shape(), name=f"{name}_{stage}", reset_less=True)
                m.d.sync += register.eq(operands[side])
                operands[side] = register
        first, second = operands
        sums = first - second if self._what == "subtract" else first + second
        asked = {} if self._what == "unasked" else {"use_dsp": "yes"}
        total = Signal(
            signed(self._bits),
            reset_less=self._what != "reset",
            init=int(self._what == "start"),
            attrs=asked,
        )
        if self._what == "enable":
            with m.If(self.c):
                m.d.sync += total.eq(sums)
        else:
            m.d.sync += total.eq(sums)
        m.d.comb += self.o.eq(total)
        if self._what == "seen":
            m.d.comb += self.seen.eq(sums[5])
        return m


def kinds(netlist: Netlist) -> set[str]:
    """Of its cells, without constants and the wires' own."""
    return {cell.kind.rstrip("0123456") for cell in netlist.cells}


def dsps(netlist: Netlist) -> list[Cell]:
    """Its DSP48E2."""
    return [cell for cell in netlist.cells if cell.kind == "DSP48E2"]


@pytest.mark.parametrize(("bits", "what"), [(48, "yes"), (30, "yes"), (20, "subtract")])
def test_a_registered_adder_that_asks_for_it_is_a_dsp(tmp_path: Path, bits: int, what: str) -> None:
    made = synthesised(Adders(bits=bits, what=what), tmp_path)
    assert [cell.kind for cell in made.cells] == ["DSP48E2"]
    (dsp,) = dsps(made)
    assert dsp.parameters["USE_MULT"] == "NONE"
    assert (dsp.parameter("MREG"), dsp.parameter("PREG")) == (0, 1)
    a, b = (made.inputs[port] + [made.inputs[port][-1]] * (49 - bits) for port in "ab")
    at_ab, at_c = (b, a) if what == "subtract" else (a, b)
    assert dsp.inputs["B"] + dsp.inputs["A"] == at_ab and dsp.inputs["C"] == at_c
    assert dsp.outputs["P"][:bits] == made.outputs["o"]
    assert dsp.inputs["OPMODE"] == [*"110011000"]
    assert dsp.inputs["ALUMODE"] == [*("1100" if what == "subtract" else "0000")]
    assert dsp.inputs["CLK"] == made.inputs["clk"] and dsp.inputs["CEP"] == ["1"]


@pytest.mark.parametrize("what", ["unasked", "reset", "enable", "start", "seen"])
def test_what_is_no_plain_registered_adder_stays_in_luts(tmp_path: Path, what: str) -> None:
    assert not dsps(synthesised(Adders(bits=24, what=what), tmp_path))


def test_an_adder_of_more_than_48_bits_stays_in_luts(tmp_path: Path) -> None:
    assert not dsps(synthesised(Adders(bits=49), tmp_path))


@pytest.mark.parametrize("before", [1, 2])
def test_registers_before_the_adder_are_taken_in_two_at_a_and_b_one_at_c(
    tmp_path: Path, before: int
) -> None:
    made = synthesised(Adders(before=before), tmp_path)
    assert len(dsps(made)) == 1
    names = {made.cells[cell].name.split("[")[0] for cell in absorbed(made).registers}
    at_ab = {f"a_{stage}" for stage in range(max(0, before - 2), before)}
    assert names == at_ab | {f"b_{before - 1}"}


class Products(wiring.Component):
    """o = c + a * b, or less the product, or what `kind` says; registers a and b, product, sum."""

    def __init__(self, *, kind: str = "add") -> None:
        self._kind = kind
        ports = {name: In(signed(10)) for name in ("a", "b")}
        super().__init__(ports | {"c": In(signed(20)), "o": Out(signed(21)), "seen": Out(20)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(signed(10), reset_less=True), Signal(signed(10), reset_less=True)
        product = Signal(signed(20), reset_less=True)
        total = Signal(signed(21), reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        m.d.sync += total.eq(
            {
                "add": self.c + product,
                "subtract": self.c - product,
                "from": product - self.c,
                "seen": self.c + product,
            }[self._kind]
        )
        m.d.comb += self.o.eq(total)
        if self._kind == "seen":
            m.d.comb += self.seen.eq(product)
        return m


@pytest.mark.parametrize("kind", ["add", "subtract"])
def test_an_adder_behind_a_product_joins_its_multiplier(tmp_path: Path, kind: str) -> None:
    made = synthesised(Products(kind=kind), tmp_path)
    (dsp,) = dsps(made)
    assert dsp.parameters["USE_MULT"] == "MULTIPLY"
    assert (dsp.parameter("MREG"), dsp.parameter("PREG")) == (1, 1)
    assert kinds(made) == {"DSP48E", "FDRE"}
    assert dsp.inputs["C"][:20] == made.inputs["c"] and dsp.outputs["P"][:21] == made.outputs["o"]
    assert dsp.inputs["OPMODE"] == [*"101011000"]
    assert dsp.inputs["ALUMODE"] == [*("1100" if kind == "subtract" else "0000")]
    assert len(absorbed(made).registers) == 20


@pytest.mark.parametrize("kind", ["from", "seen"])
def test_other_adders_behind_products_stay_in_luts(tmp_path: Path, kind: str) -> None:
    made = synthesised(Products(kind=kind), tmp_path)
    assert [dsp.parameter("PREG") for dsp in dsps(made)] == [0]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, 4])
def test_a_lane_multiplies_in_one_dsp_for_two_products_and_adds_two_rows_in_one(
    tmp_path: Path, rows: int
) -> None:
    """Beside those of the rows there are multipliers of accumulators, softmax and requantisers."""
    config = replace(named_config("tiny"), rows=rows)
    found = dsps(synthesised(Lane(config=config), tmp_path))
    adders = sum(dsp.parameters["USE_MULT"] == "NONE" for dsp in found)
    assert adders == rows // 2 * (config.width // 4 + config.width // 8)
    assert 0 <= len(found) - adders - rows * config.width // 2 <= 4 * rows
