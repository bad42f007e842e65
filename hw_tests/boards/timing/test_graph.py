# SPDX-License-Identifier: Apache-2.0
"""Slowest paths of small netlists whose answers are known."""

from __future__ import annotations

import pytest

from boards.synthesis.absorption import Absorbed
from boards.synthesis.netlist import Cell, Netlist
from boards.timing.delays import BUDGET, FULL
from boards.timing.graph import Graph, LoopError
from boards.timing.ways import CONSTANT_FACTOR, UNREGISTERED_DSP, Path
from hw_tests.boards.timing.cells import Net, carry, dsp, flip_flop, lut


def paths(*cells: Cell) -> list[Path]:
    return list(Graph(Netlist("block", list(cells), {}, {}), FULL).paths())


def test_a_register_after_another_takes_a_wire() -> None:
    (path,) = paths(flip_flop("a", "0", 1), flip_flop("b", 1, 2))
    assert path.ns == pytest.approx(0.08 + 0.30 + 0.05) and path.levels == 0
    assert (path.start, path.start_place) == ("a", "rtl_gen/a.py:1")
    assert (path.end, path.end_place) == ("b.D", "rtl_gen/b.py:1")


def test_a_lut_reaches_its_register_without_a_wire() -> None:
    (path,) = paths(flip_flop("a", "0", 1), lut(1, o=2), flip_flop("b", 2, 3))
    assert path.ns == pytest.approx(0.08 + 0.30 + 0.05 + 0.05) and path.levels == 1


def test_a_lut_with_two_loads_has_a_wire_to_both() -> None:
    cells = [flip_flop("a", "0", 1), lut(1, o=2), flip_flop("b", 2, 3), flip_flop("c", 2, 4)]
    assert [path.ns for path in paths(*cells)] == pytest.approx(
        [0.08 + 0.30 + 0.05 + 0.37 + 0.05] * 2
    )


def test_the_slowest_way_is_taken() -> None:
    cells = [flip_flop("a", "0", 1), flip_flop("c", "0", 5)]
    cells += [lut(1, o=2), lut(2, 5, o=3), flip_flop("b", 3, 4)]
    (path,) = paths(*cells)
    assert path.start == "a" and path.levels == 2
    assert path.ns == pytest.approx(0.08 + 0.30 + 0.05 + 0.30 + 0.10 + 0.05)


@pytest.mark.parametrize(("pin", "setup"), [("enable", 0.08), ("reset", 0.10)])
def test_enables_and_resets_of_many_registers_are_paths(pin: str, setup: float) -> None:
    cells = [flip_flop("go", "0", 1)]
    for number in range(1024):
        pins: dict[str, Net] = {pin: 1}
        cells.append(flip_flop(f"word{number}", "0", 2 + number, **pins))
    (path,) = paths(*cells)  # those of 1024 registers folded
    assert path.ns == pytest.approx(0.08 + 1.0 + setup)


def test_a_carry_chain_costs_its_bits_and_no_wires() -> None:
    low = carry([2, "0", "0", "0"], [1, "0", "0", "0"], "0", [10, 11, 12, 13], [20, 21, 22, 23])
    high = carry(["0"] * 4, ["0"] * 4, 23, [14, 15, 16, 17], [24, 25, 26, 27])
    cells = [flip_flop("a", "0", 1), flip_flop("x", "0", 5), lut(5, o=2), low, high]
    (path,) = paths(*cells, flip_flop("b", 17, 6))
    lut_first = 0.08 + 0.30 + 0.05
    chain = (0.10 + 3 * 0.02) + (4 * 0.02 + 0.05)
    assert path.ns == pytest.approx(lut_first + chain + 0.05)
    assert path.start == "x" and path.levels == 1


def test_a_product_without_registers_is_marked() -> None:
    cells = [flip_flop("a", "0", 1), dsp({"A": [1], "B": [1]}, [2]), flip_flop("b", 2, 3)]
    (path,) = paths(*cells)
    assert path.ns == pytest.approx(0.08 + 0.37 + 2.6 + 0.30 + 0.05)
    assert path.marks == (UNREGISTERED_DSP,) and path.levels == 1


def test_a_constant_factor_is_marked() -> None:
    product = dsp({"A": [1], "B": ["1", "1", "0"]}, [2])
    (path,) = paths(flip_flop("a", "0", 1), product, flip_flop("b", 2, 3))
    assert set(path.marks) == {CONSTANT_FACTOR, UNREGISTERED_DSP}


def test_a_product_with_its_own_registers_is_none_to_worry_about() -> None:
    registers = {"AREG": 1, "BREG": 1, "MREG": 1, "PREG": 1}
    product = dsp({"A": [1], "B": [1]}, [2], **registers)
    first, _, second = paths(flip_flop("a", "0", 1), product, flip_flop("b", 2, 3))
    assert first.ns == pytest.approx(0.08 + 0.37 + 0.25) and not first.marks
    assert second.ns == pytest.approx(0.25 + 0.30 + 0.05) and not second.marks


def test_a_register_that_a_dsp_takes_in_has_no_wire_to_it() -> None:
    """From fabric to A 0.25, from A to P no wire on either side, from P to fabric 0.25."""
    cells = [flip_flop("x", "0", 1), flip_flop("a", 1, 2), dsp({"A": [2], "B": [2]}, [3])]
    cells += [flip_flop("p", 3, 4), flip_flop("y", 4, 5)]
    taken_in = Absorbed(frozenset({1, 3}), frozenset())
    graph = Graph(Netlist("block", cells, {}, {}), FULL, taken_in=taken_in)
    product, into, out = sorted(graph.paths(), key=lambda path: path.start)
    assert not product.marks
    assert product.start == "a" and product.ns == pytest.approx(0.25 + 2.6 + 0.05)
    assert into.start == "p" and into.ns == pytest.approx(0.25 + 0.30 + 0.05)
    assert out.start == "x" and out.ns == pytest.approx(0.08 + 0.30 + 0.25)


def test_adders_in_dsps_have_wires_between_them_and_no_marks() -> None:
    """From P to the operand of the next one 0.25, a wire and 1.2; the upper operand bits may be
    constants.
    """
    cells = [dsp({"A": ["0"], "B": [1], "C": [2]}, [number], PREG=1) for number in (3, 4)]
    cells[1].inputs["B"] = [3]
    for cell in cells:
        cell.parameters["USE_MULT"] = "NONE"
    cells += [flip_flop("x", "0", 1), flip_flop("c", 4, 5), flip_flop("y", 5, 6)]
    # The register behind the second is one that another DSP takes in, far from it.
    graph = Graph(
        Netlist("block", cells, {}, {}), FULL, taken_in=Absorbed(frozenset({3}), frozenset())
    )
    between, first, far, out = graph.paths()
    assert not any(path.marks for path in (between, first, far, out))
    assert between.ns == pytest.approx(0.25 + 0.30 + 1.2)
    assert first.start == "x" and first.ns == pytest.approx(0.08 + 0.30 + 1.2)
    assert far.end == "c.D" and far.ns == pytest.approx(0.25 + 0.30 + 0.25)
    assert out.ns == pytest.approx(0.25 + 0.30 + 0.05)


def test_inputs_and_outputs_count_only_where_they_are_asked_for() -> None:
    netlist = Netlist("block", [lut(1, o=2)], {"i": [1]}, {"o": [2]})
    assert list(Graph(netlist, FULL).paths()) == [] and Graph(netlist, FULL).worst_ns() == 0
    (path,) = Graph(netlist, BUDGET, input_ns=0.6, output_ns=0.05).paths()
    assert (path.start, path.end) == ("input i[0]", "output o[0]")
    assert path.ns == pytest.approx(0.6 + 0.20 + 0.05 + 0.20 + 0.05)


def test_ends_above_a_limit_are_counted() -> None:
    cells = [flip_flop("a", "0", 1), lut(1, o=2), flip_flop("b", 2, 3), flip_flop("c", 3, 4)]
    graph = Graph(Netlist("block", cells, {}, {}), FULL)
    assert (graph.above(0.42), graph.above(0.45), graph.above(0.49)) == (2, 1, 0)
    assert graph.worst_ns() == pytest.approx(0.48)


def test_paths_come_from_the_slowest_on() -> None:
    cells = [flip_flop("a", "0", 1), lut(1, o=2), flip_flop("b", 2, 3), flip_flop("c", 3, 4)]
    found = paths(*cells)
    assert [path.end for path in found] == ["b.D", "c.D"]


def test_a_combinational_loop_is_refused() -> None:
    with pytest.raises(LoopError, match="combinational loop in block through LUT2 lut"):
        paths(flip_flop("a", "0", 1), lut(1, 3, o=2), lut(2, o=3), flip_flop("b", 3, 4))


def test_a_register_breaks_a_loop() -> None:
    (path,) = paths(lut(1, o=2), flip_flop("a", 2, 1))
    assert (path.start, path.end) == ("a", "a.D")


def test_the_nearest_place_stands_for_a_register_without_one() -> None:
    gate = lut(1, o=2)
    gate.place = "rtl_gen/gate.py:7"
    last = flip_flop("b", 2, 3)
    last.place = ""
    (path,) = paths(flip_flop("a", "0", 1), gate, last)
    assert path.end_place == "rtl_gen/gate.py:7"
