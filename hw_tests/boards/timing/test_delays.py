# SPDX-License-Identifier: Apache-2.0
"""Delays of wires by their loads, and the arcs of every kind of primitive."""

from __future__ import annotations

import pytest

from boards.synthesis.netlist import Cell
from boards.timing.delays import BUDGET, FULL, arcs, is_level, launch, setup
from hw_tests.boards.timing.cells import carry, dsp, flip_flop, lut

LUT_RAM = Cell(
    "RAM32M16",
    {f"ADDR{side}": [1, 2, 3, 4, 5] for side in "ABH"} | {"WE": [6], "DIA": [7, 8], "WCLK": [0]},
    {"DOA": [9, 10]},
)
SHIFTER = Cell("SRL16E", {"A0": [1], "A1": [2], "CE": [3], "D": [4], "CLK": [0]}, {"Q": [5]})
OPERANDS = {"A": [1], "B": [2], "C": [3], "D": [4], "OPMODE": ["0"]}


def adder(**parameters: int) -> Cell:
    """A DSP that does not multiply."""
    cell = dsp(OPERANDS, [5], **parameters)
    cell.parameters["USE_MULT"] = "NONE"
    return cell


@pytest.mark.parametrize(("loads", "full", "budget"), [(1, 0.30, 0.20), (2, 0.37, 0.23)])
def test_a_wire_takes_longer_with_more_loads(loads: int, full: float, budget: float) -> None:
    assert FULL.wire(loads) == pytest.approx(full)
    assert BUDGET.wire(loads) == pytest.approx(budget)


def test_no_wire_takes_more_than_the_longest() -> None:
    assert FULL.wire(1024) == pytest.approx(1.0)
    assert FULL.wire(1 << 20) == BUDGET.wire(1 << 40) == 1.2
    assert FULL.wire(0) == FULL.wire(1)


@pytest.mark.parametrize(
    ("cell", "output", "expected"),
    [
        (lut(1, o=9), ("O", 0), {("I0", 0): 0.05}),
        (lut(1, 2, o=9), ("O", 0), {("I0", 0): 0.10, ("I1", 0): 0.10}),
        (lut(1, 2, 3, 4, 5, 6, o=9), ("O", 0), {(f"I{i}", 0): 0.13 for i in range(6)}),
        (Cell("INV", {"I": [1]}, {"O": [2]}), ("O", 0), {("I", 0): 0.05}),
        (
            Cell("MUXF7", {"I0": [1], "I1": [2], "S": [3]}, {"O": [4]}),
            ("O", 0),
            {("I0", 0): 0.08, ("I1", 0): 0.08, ("S", 0): 0.08},
        ),
        (LUT_RAM, ("DOA", 1), {("ADDRA", bit): 0.15 for bit in range(5)}),
        (SHIFTER, ("Q", 0), {("A0", 0): 0.25, ("A1", 0): 0.25}),
        (
            dsp(OPERANDS, [5]),
            ("P", 0),
            {("A", 0): 2.6, ("B", 0): 2.6, ("C", 0): 1.2, ("D", 0): 2.6, ("OPMODE", 0): 1.2},
        ),
        (dsp(OPERANDS, [5], MREG=1), ("P", 0), {("C", 0): 1.2, ("OPMODE", 0): 1.2}),
        (dsp(OPERANDS, [5], PREG=1), ("P", 0), {}),
        (
            adder(),
            ("P", 0),
            {("A", 0): 1.2, ("B", 0): 1.2, ("C", 0): 1.2, ("D", 0): 2.6, ("OPMODE", 0): 1.2},
        ),
        (flip_flop("a", 1, 2), ("Q", 0), {}),
        (Cell("RAMB36E2", {"ADDRARDADDR": [1]}, {"DOUTADOUT": [2]}), ("DOUTADOUT", 0), {}),
        (Cell("URAM288", {"ADDR_A": [1]}, {"DOUT_A": [2]}), ("DOUT_A", 0), {}),
    ],
)
def test_what_an_output_depends_on_within_a_cycle(
    cell: Cell, output: tuple[str, int], expected: dict[tuple[str, int], float]
) -> None:
    assert {(arc.port, arc.bit): arc.ns for arc in arcs(cell, *output)} == expected


def test_a_carry_chain_is_entered_below_and_left_above() -> None:
    cell = carry([1, 2, 3, 4], [5, 6, 7, 8], 9, [10, 11, 12, 13], [14, 15, 16, 17])
    out = {(arc.port, arc.bit): arc.ns for arc in arcs(cell, "CO", 1)}
    assert out["S", 0] == out["DI", 0] == pytest.approx(0.12)
    assert out["S", 1] == out["DI", 1] == pytest.approx(0.10)
    assert out["CI", 0] == pytest.approx(0.04) and ("S", 2) not in out
    total = {(arc.port, arc.bit): arc.ns for arc in arcs(cell, "O", 1)}
    assert total["S", 1] == pytest.approx(0.15) and total["CI", 0] == pytest.approx(0.09)
    assert ("DI", 1) not in total  # a sum takes the propagate signal of its own bit only


@pytest.mark.parametrize(
    ("cell", "port", "ns"),
    [
        (flip_flop("a", 1, 2), "Q", 0.08),
        (lut(1, o=2), "O", None),
        (LUT_RAM, "DOA", 0.55),
        (SHIFTER, "Q", 0.45),
        (Cell("RAMB36E2", {}, {}), "DOUTADOUT", 1.5),
        (Cell("RAMB36E2", {}, {}, {"DOA_REG": 1}), "DOUTPADOUTP", 0.6),
        (Cell("RAMB36E2", {}, {}, {"DOA_REG": 1}), "DOUTBDOUT", 1.5),
        (Cell("RAMB18E2", {}, {}, {"DOB_REG": 1}), "DOUTBDOUT", 0.6),
        (Cell("URAM288", {}, {}), "DOUT_A", 1.5),
        (Cell("URAM288", {}, {}, {"OREG_A": "TRUE"}), "DOUT_A", 0.7),
        (dsp({}, []), "P", None),
        (dsp({}, [], AREG=1), "P", 2.9),
        (dsp({}, [], MREG=1), "P", 1.3),
        (dsp({}, [], MREG=1, PREG=1), "P", 0.25),
        (adder(PREG=1), "P", 0.25),
    ],
)
def test_what_leaves_a_clock_edge(cell: Cell, port: str, ns: float | None) -> None:
    assert launch(cell, port) == ns


@pytest.mark.parametrize(
    ("cell", "port", "ns"),
    [
        *((flip_flop("a", 1, 2), port, ns) for port, ns in (("D", 0.05), ("CE", 0.08))),
        (flip_flop("a", 1, 2), "R", 0.10),
        (flip_flop("a", 1, 2), "C", None),
        (lut(1, o=2), "I0", None),
        *((LUT_RAM, port, ns) for port, ns in (("DIA", 0.15), ("WE", 0.25), ("ADDRH", 0.25))),
        *((LUT_RAM, port, None) for port in ("ADDRA", "WCLK")),
        *((SHIFTER, port, ns) for port, ns in (("D", 0.12), ("CE", 0.15), ("CLK", None))),
        (Cell("RAMB36E2", {}, {}), "ADDRARDADDR", 0.35),
        (Cell("RAMB36E2", {}, {}), "CLKARDCLK", None),
        (dsp({}, [], AREG=1), "A", 0.25),
        (dsp({}, [], MREG=1), "B", 1.6),
        (dsp({}, [], PREG=1), "B", 2.6),
        (dsp({}, [], PREG=1), "C", 1.2),
        *((adder(PREG=1), port, 1.2) for port in "ABC"),
        (adder(PREG=1, AREG=1), "A", 0.25),
        (dsp({}, [], PREG=1), "PCIN", 1.0),
        (dsp({}, [], PREG=1), "OPMODE", 1.2),
        (dsp({}, [], OPMODEREG=1), "OPMODE", 0.4),
        (dsp({}, []), "A", None),
        (dsp({}, []), "CLK", None),
    ],
)
def test_what_arrives_at_a_clock_edge(cell: Cell, port: str, ns: float | None) -> None:
    arc = setup(cell, port)
    assert (None if arc is None else arc.ns) == ns


def test_multiplexers_and_carries_are_no_levels_of_their_own() -> None:
    assert is_level("LUT4") and is_level("DSP48E2") and is_level("RAM64M8")
    assert not is_level("MUXF7") and not is_level("CARRY4")


def test_a_primitive_that_the_model_does_not_know_is_refused() -> None:
    cell = Cell("PCIE40E4", {"A": [1]}, {"B": [2]}, name="link")
    with pytest.raises(ValueError, match=r"no primitive PCIE40E4 \(cell link\)"):
        list(arcs(cell, "B", 0))
