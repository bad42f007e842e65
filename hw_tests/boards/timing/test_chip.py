# SPDX-License-Identifier: Apache-2.0
"""Paths between blocks: as long as in the flat netlist, with names on both sides."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from boards.synthesis.netlist import Cell, Netlist
from boards.timing.chip import block_timing, chip_timing, crossings
from boards.timing.delays import BUDGET, FULL, MODELS, DelayModel
from boards.timing.graph import Graph, LoopError
from hw_tests.boards.timing.cells import CLOCK, Net, flip_flop, lut
from hw_tests.seeds import salted

SENDER = Netlist("sender", [flip_flop("sent", "0", 1)], {"clk": [CLOCK]}, {"o": [1]})
GATE = Netlist("gate", [lut(1, 2, o=3)], {"i": [1, 2]}, {"o": [3]})
TAKER = Netlist("taker", [flip_flop("taken", 1, 2)], {"clk": [CLOCK], "i": [1]}, {})
KINDS = {"sender": SENDER, "gate": GATE, "taker": TAKER}


def box(kind: str, name: str, inputs: dict[str, list[Net]], outputs: dict[str, list[Net]]) -> Cell:
    return Cell(kind, inputs, outputs, name=name)


def chip(*cells: Cell) -> dict[str, Netlist]:
    return {**KINDS, "top": Netlist("top", list(cells), {"clk": [CLOCK]}, {})}


def test_a_path_through_three_blocks_is_one_path() -> None:
    blocks = chip(
        box("sender", "a", {"clk": [CLOCK]}, {"o": [1]}),
        box("gate", "b", {"i": [1, "0"]}, {"o": [2]}),
        box("taker", "c", {"clk": [CLOCK], "i": [2]}, {}),
    )
    found = chip_timing(blocks, "top", FULL, 5)
    (path,) = found["taker"].paths
    assert path.ns == pytest.approx(0.08 + 0.30 + 0.10 + 0.30 + 0.05) and path.levels == 1
    assert (path.start, path.end) == ("a: sent", "c: taken.D")
    assert (path.start_place, path.end_place) == ("rtl_gen/sent.py:1", "rtl_gen/taken.py:1")
    assert path.through == ("b",) and path.block == "taker"
    assert not found["top"].paths and not found["sender"].paths
    assert found["taker"].worst_ns == path.ns and found["top"].worst_ns == 0


def test_a_path_that_ends_outside_of_all_blocks_is_one_of_top() -> None:
    blocks = chip(
        box("sender", "a", {"clk": [CLOCK]}, {"o": [1]}),
        flip_flop("rest", 1, 2),
        box("taker", "c", {"clk": [CLOCK], "i": [2]}, {}),
    )
    found = chip_timing(blocks, "top", FULL, 5)
    assert [(path.start, path.end) for path in found["top"].paths] == [("a: sent", "rest.D")]
    assert [(path.start, path.end) for path in found["taker"].paths] == [("rest", "c: taken.D")]


def test_a_wire_counts_the_loads_on_all_sides() -> None:
    sender = Netlist(
        "sender",
        [flip_flop("sent", "0", 1), flip_flop("own", 1, 2)],
        {"clk": [CLOCK]},
        {"o": [1]},
    )
    taker = Netlist(
        "taker",
        [flip_flop("taken", 1, 2), flip_flop("too", 1, 3)],
        {"clk": [CLOCK], "i": [1]},
        {},
    )
    top = Netlist(
        "top",
        [
            box("sender", "a", {"clk": [CLOCK]}, {"o": [1]}),
            *(box("taker", f"c{n}", {"clk": [CLOCK], "i": [1]}, {}) for n in range(3)),
            flip_flop("rest", 1, 2),
        ],
        {"clk": [CLOCK]},
        {"pin": [1]},
    )
    inside, outside = crossings({"sender": sender, "taker": taker}, top)
    assert outside[1] == inside["sender"][1] == inside["taker"][1] == 1 + 3 * 2 + 1 + 1
    blocks = {"sender": sender, "taker": taker, "top": top}
    found = chip_timing(blocks, "top", FULL, 5)
    wire = FULL.wire(9)
    assert found["sender"].worst_ns == pytest.approx(0.08 + wire + 0.05)
    assert found["taker"].worst_ns == pytest.approx(0.08 + wire + 0.05)


def test_a_wire_through_a_block_is_one_wire() -> None:
    through = Netlist("gate", [], {"i": [1, 2]}, {"o": [1]})
    blocks = chip(
        box("sender", "a", {"clk": [CLOCK]}, {"o": [1]}),
        box("gate", "b", {"i": [1, "0"]}, {"o": [2]}),
        box("taker", "c", {"clk": [CLOCK], "i": [2]}, {}),
    )
    found = chip_timing({**blocks, "gate": through}, "top", FULL, 5)
    assert found["taker"].worst_ns == pytest.approx(0.08 + 0.30 + 0.05)


def test_only_pins_of_the_chip_are_assumed() -> None:
    top = Netlist(
        "top",
        [box("taker", "c", {"clk": [CLOCK], "i": [1]}, {})],
        {"clk": [CLOCK], "pin": [1]},
        {},
    )
    (path,) = chip_timing({"taker": TAKER, "top": top}, "top", FULL, 5)["taker"].paths
    assert path.start == "input pin[0]" and path.ns == pytest.approx(0.6 + 0.30 + 0.05)


def test_a_block_alone_has_its_inputs_late() -> None:
    timing = block_timing(TAKER, BUDGET, 5)
    assert timing.worst_ns == pytest.approx(0.6 + 0.20 + 0.05)
    assert timing.paths[0].start == "input i[0]"


def test_a_loop_across_blocks_is_refused() -> None:
    blocks = chip(
        box("gate", "b0", {"i": [1, "0"]}, {"o": [2]}),
        box("gate", "b1", {"i": [2, "0"]}, {"o": [1]}),
    )
    with pytest.raises(LoopError, match="combinational loop in top through gate b"):
        chip_timing(blocks, "top", FULL, 5)


def test_two_ways_through_a_block_that_do_not_meet_are_no_loop() -> None:
    crossed = Netlist("gate", [lut(1, o=3), lut(2, o=4)], {"i": [1, 2]}, {"o": [3, 4]})
    blocks = chip(
        box("sender", "a", {"clk": [CLOCK]}, {"o": [1]}),
        box("gate", "b", {"i": [1, 2]}, {"o": [2, 3]}),
        box("taker", "c", {"clk": [CLOCK], "i": [3]}, {}),
    )
    found = chip_timing({**blocks, "gate": crossed}, "top", FULL, 5)
    (path,) = found["taker"].paths
    assert path.ns == pytest.approx(0.08 + 3 * 0.30 + 2 * 0.05 + 0.05)
    assert path.levels == 2 and path.through == ("b", "b")


def test_a_port_that_a_block_has_not_is_refused() -> None:
    blocks = chip(box("gate", "b", {"i": [1]}, {"o": [2]}))
    with pytest.raises(ValueError, match="block gate has no port i of 1 bits"):
        chip_timing(blocks, "top", FULL, 5)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("case", range(5))
def test_random_blocks_take_as_long_as_the_flat_netlist(case: int, model: DelayModel) -> None:
    """One copy of each kind, so that every wire has exactly its loads."""
    draw = random.Random(salted(f"blocks {case}"))
    kinds, cells, flat = {}, [], []
    outer: list[int] = []
    for number in range(4):
        kind = f"kind{number}"
        kinds[kind] = _drawn_block(kind, draw)
        inputs = [draw.choice(outer) if outer else "0" for _ in kinds[kind].inputs["i"]]
        outputs = [100 * (number + 1) + bit for bit in range(len(kinds[kind].outputs["o"]))]
        cells.append(box(kind, kind, {"i": [*inputs]}, {"o": [*outputs]}))
        flat += _flattened(kinds[kind], inputs, outputs, 1000 * (number + 1))
        outer += outputs
    top = Netlist("top", cells, {}, {})
    found = chip_timing({**kinds, "top": top}, "top", model, 3)
    expected = Graph(Netlist("flat", flat, {}, {}), model).worst_ns()
    assert max(timing.worst_ns for timing in found.values()) == pytest.approx(expected)
    assert any(path.block for timing in found.values() for path in timing.paths)


def _drawn_block(name: str, draw: random.Random) -> Netlist:
    """Inputs 1 to 6, registers 10 to 13, LUTs from 20 on; registers take LUTs of two loads only, as
    a register beside its LUT has no wire, wherever the boundary of a block is.
    """
    sources: list[int] = [*range(1, 7), *range(10, 14)]
    cells: list[Cell] = []
    for net in range(20, 40):
        cells.append(lut(*draw.sample(sources, draw.randint(1, 4)), o=net))
        sources.append(net)
    for net in range(10, 14):
        data = draw.randint(30, 39)
        cells += [flip_flop(f"r{net}", data, net), lut(data, o=net + 30), lut(net + 30, o=net + 40)]
    outputs = draw.sample(range(20, 40), 4) + [10, 11]
    return Netlist(name, cells, {"i": [*range(1, 7)]}, {"o": [*outputs]})


def _flattened(block: Netlist, inputs: list[Net], outputs: list[int], base: int) -> list[Cell]:
    names: dict[Net, Net] = dict(zip(block.inputs["i"], inputs, strict=True))
    names |= dict(zip(block.outputs["o"], outputs, strict=True))

    def net(old: Net) -> Net:
        if old in names:
            return names[old]
        return base + old if isinstance(old, int) and old != CLOCK else old

    return [
        replace(
            cell,
            inputs={port: [net(old) for old in nets] for port, nets in cell.inputs.items()},
            outputs={port: [net(old) for old in nets] for port, nets in cell.outputs.items()},
        )
        for cell in block.cells
    ]
