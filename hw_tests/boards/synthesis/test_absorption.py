# SPDX-License-Identifier: Apache-2.0
"""DSPs take in what a DSP48E2 can take in, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.synthesis.absorption import absorbed
from boards.synthesis.netlist import Cell, Netlist
from hw_tests.boards.synthesis.synthesised import synthesised
from hw_tests.boards.timing.cells import CLOCK, Net, dsp, flip_flop, lut
from rtl_gen.blocks.requantise import Requantise
from rtl_gen.lane.product_pair import ProductPair
from rtl_gen.writer.pair_multiplier import PairMultiplier

BITS = 4


def product(*, a_from: int = 100, b_from: int = 200, p_from: int = 300, b_top: Net = "0") -> Cell:
    """Four unsigned bits by four: nets from a number on each."""
    a: list[Net] = [*range(a_from, a_from + BITS), *["0"] * (30 - BITS)]
    b: list[Net] = [*range(b_from, b_from + BITS), *[b_top] * (18 - BITS)]
    return dsp({"A": a, "B": b, "C": ["0"] * 48}, [*range(p_from, p_from + 48)])


def register(d_from: int, q_from: int, bits: int = BITS, **pins: Net) -> list[Cell]:
    """Of four bits, or so many."""
    named = f"r{q_from}"
    return [flip_flop(f"{named}[{bit}]", d_from + bit, q_from + bit, **pins) for bit in range(bits)]


def netlist(*cells: Cell, out: list[Net] | None = None) -> Netlist:
    """With nets that leave it."""
    outside: dict[str, list[Net]] = {"o": out or []}
    return Netlist("part", list(cells), {"clk": [CLOCK]}, outside)


def taken(*cells: Cell, out: list[Net] | None = None) -> set[str]:
    """Names of the registers that are taken in, without bits."""
    made = netlist(*cells, out=out)
    return {made.cells[cell].name.split("[")[0] for cell in absorbed(made).registers}


def chain(count: int, last: int) -> list[Cell]:
    """So many registers behind one another, nets from 1000 on, the last one drives `last`."""
    places = [1000 + 10 * stage for stage in range(count)] + [last]
    return [
        cell
        for before, after in zip(places, places[1:], strict=False)
        for cell in register(before, after)
    ]


@pytest.mark.parametrize("port_from", [100, 200])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_registers_before_a_and_b(port_from: int, count: int) -> None:
    names = {f"r{port_from}", *(f"r{1000 + 10 * stage}" for stage in range(1, count))}
    expected = names if count < 3 else names - {"r1010"}
    assert taken(product(), *chain(count, port_from)) == expected


def test_a_register_with_another_load_stays_and_so_do_its_other_bits() -> None:
    assert taken(product(), *register(1000, 100), lut(102, o=9)) == set()
    assert taken(product(), *register(1000, 100), out=[101]) == set()


def test_a_register_behind_which_one_stays_is_taken_in() -> None:
    cells = [product(), *register(1000, 1010), *register(1010, 100), lut(1011, o=9)]
    assert taken(*cells) == {"r100"}


def test_a_register_that_several_dsps_take_in_leaves_the_fabric_only_with_all_of_them() -> None:
    two = [product(), product(b_from=220, p_from=400)]
    assert taken(*two, *register(1000, 100)) == {"r100"}
    assert taken(*two, *register(1000, 100), *register(100, 220)) == {"r100", "r220"}
    # The second one has a second register at B, but its first one stays.
    cells = [*two, *register(1000, 100), *register(100, 220), lut(220, o=9)]
    assert taken(*cells) == set()


@pytest.mark.parametrize("pins", [{"enable": 50}, {"reset": 51}])
def test_bits_with_different_controls_are_no_register_of_a_dsp(pins: dict[str, Net]) -> None:
    mixed = [*register(1000, 100, 3), *register(1003, 103, 1, **pins)]
    assert taken(product(), *mixed) == set()
    assert taken(product(), *register(1000, 100, **pins)) == {"r100"}


def test_both_registers_of_a_port_share_a_reset_and_may_differ_in_enable() -> None:
    enabled = [*register(1000, 1010, enable=50), *register(1010, 100)]
    assert taken(product(), *enabled) == {"r1010", "r100"}
    cleared = [*register(1000, 1010, reset=51), *register(1010, 100)]
    assert taken(product(), *cleared) == {"r100"}


def test_registers_that_set_or_start_at_one_stay() -> None:
    setting = register(1000, 100)
    for cell in setting:
        cell.kind = "FDSE"
    assert taken(product(), *setting) == set()
    starting = register(1000, 100)
    starting[2].parameters["INIT"] = 1
    assert taken(product(), *starting) == set()


def test_a_constant_one_in_a_port_keeps_its_register_out() -> None:
    assert taken(product(b_top="1"), *register(1000, 200)) == set()
    assert taken(product(b_top=203), *register(1000, 200)) == {"r200"}


def test_two_registers_behind_a_product() -> None:
    m, p = register(300, 400, 8), register(400, 500, 8)
    assert taken(product(), *m, out=[400]) == {"r400"}
    assert taken(product(), *m, *p, *register(500, 600, 8)) == {"r400", "r500"}


def test_a_product_that_something_else_looks_at_takes_in_nothing_behind_it() -> None:
    assert taken(product(), *register(300, 400, 8), lut(303, o=9)) == set()
    assert taken(product(), *register(300, 400, 7), out=[307]) == set()


def test_a_register_between_two_dsps_is_taken_in_once() -> None:
    first = product()
    second = product(a_from=400, b_from=220, p_from=600)
    made = netlist(first, second, *register(300, 400), out=[600])
    assert len(absorbed(made).registers) == BITS


class MultiplyAdd(wiring.Component):
    """o = c + a * b, or less the product, with registers in front and behind, none between them;
    `early` shows the product.
    """

    def __init__(self, *, sign: int, early: bool) -> None:
        self._sign, self._early = sign, early
        ports = {name: In(signed(10)) for name in ("a", "b")}
        super().__init__(ports | {"c": In(signed(20)), "o": Out(signed(21)), "seen": Out(20)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(signed(10), reset_less=True), Signal(signed(10), reset_less=True)
        c = Signal(signed(20), reset_less=True)
        product = Signal(signed(20))
        total = Signal(signed(21), reset_less=True)
        m.d.comb += product.eq(a * b)
        m.d.sync += [a.eq(self.a), b.eq(self.b), c.eq(self.c)]
        m.d.sync += total.eq(product + c if self._sign > 0 else c - product)
        m.d.comb += self.o.eq(total)
        if self._early:
            m.d.comb += self.seen.eq(product)
        return m


@pytest.mark.parametrize("sign", [1, -1])
def test_yosys_leaves_an_adder_that_a_dsp_takes_in(tmp_path: Path, sign: int) -> None:
    made = synthesised(MultiplyAdd(sign=sign, early=False), tmp_path)
    found = absorbed(made)
    assert sum(cell.kind == "DSP48E2" for cell in made.cells) == 1
    assert len(found.registers) == 10 + 10 + 20 + 21
    # One LUT for each bit; all that is left are carries.
    luts = {cell for cell, entry in enumerate(made.cells) if entry.kind.startswith("LUT")}
    assert luts and luts == found.luts


def test_an_adder_whose_product_is_seen_stays(tmp_path: Path) -> None:
    found = absorbed(synthesised(MultiplyAdd(sign=1, early=True), tmp_path))
    assert len(found.registers) == 10 + 10 and not found.luts


def test_a_dsp_with_p_takes_in_what_comes_before_it_and_nothing_behind(tmp_path: Path) -> None:
    c: list[Net] = [*range(600, 600 + BITS), *["0"] * (48 - BITS)]
    for kind in ("NONE", "MULTIPLY"):
        adder = product()
        adder.inputs["C"] = c
        adder.parameters |= {"PREG": 1, "USE_MULT": kind}
        before = [*register(1000, 1010), *register(1010, 100), *register(2000, 200)]
        behind = register(300, 500, 8)
        at_c = [*register(2000, 2010), *register(2010, 600)]
        assert taken(adder, *before, *at_c, *behind) == {"r1010", "r100", "r200", "r600"}


@pytest.mark.slow
def test_the_pair_of_a_lane_is_two_dsps_and_a_parity(tmp_path: Path) -> None:
    """Left are the parity, three bits late, and the borrow."""
    made = synthesised(ProductPair(operand_bits=12), tmp_path)
    found = absorbed(made)
    registers = {cell for cell, entry in enumerate(made.cells) if entry.kind.startswith("FD")}
    assert sum(cell.kind == "DSP48E2" for cell in made.cells) == 2
    assert sum(cell.kind.startswith("LUT") for cell in made.cells) <= 2
    assert len(registers - found.registers) <= 4


@pytest.mark.slow
def test_the_writers_pair_of_channels_has_its_sums_in_dsps(tmp_path: Path) -> None:
    made = synthesised(PairMultiplier(), tmp_path)
    assert sum(cell.parameter("PREG") for cell in made.cells) == 4
    assert not absorbed(made).luts


@pytest.mark.slow
def test_the_cascade_of_a_requantiser_is_in_its_dsps(tmp_path: Path) -> None:
    made = synthesised(Requantise(), tmp_path)
    assert sum(cell.parameter("PREG") for cell in made.cells) == 1
