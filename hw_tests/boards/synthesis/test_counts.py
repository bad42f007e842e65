# SPDX-License-Identifier: Apache-2.0
"""Primitives of a netlist are counted as what they take of a device."""

from __future__ import annotations

import pytest

from boards.synthesis.counts import MANY_LOADS, Fanout, control_sets, counts, fanouts
from boards.synthesis.netlist import Cell, Netlist
from hw_tests.boards.timing.cells import CLOCK, Net, dsp, flip_flop, lut


def netlist(*cells: Cell, **inputs: Net) -> Netlist:
    """With ports of one bit."""
    return Netlist("part", list(cells), {name: [net] for name, net in inputs.items()}, {})


def memory(kind: str, **pins: Net) -> Cell:
    """A primitive that holds something."""
    return Cell(kind, {port: [net] for port, net in pins.items()}, {})


def test_primitives_are_folded() -> None:
    cells = [
        *(memory("RAMB36E2") for _ in range(2)),
        *(memory(kind) for kind in ("RAMB18E2", "URAM288", "RAM32M16", "INV", "CARRY4")),
        memory("SRL16E", CE=9),
        *(lut(1, 2, o=net) for net in range(10, 13)),
        dsp({"A": [1], "B": [2]}, [3]),
        flip_flop("a", 3, 4),
        flip_flop("b", 11, 5),
    ]
    found = counts(netlist(*cells))
    assert found.pop("control_sets") == 3  # registers, the shift register, the memory
    assert found == {
        "lut_raw": 3 + 1 + 8 + 1,
        "lut_absorbed": 3 + 1 + 8 + 1,
        "lutram": 9,
        "ff_raw": 2,
        "ff_absorbed": 1,
        "dsp": 1,
        "ramb36": 2.5,
        "uram": 1,
    }


def test_a_memory_in_luts_without_a_rule_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="^part: no rule how many LUTs a RAM1X takes$"):
        counts(netlist(memory("RAM1X")))


def test_control_sets_are_clock_enable_and_reset_together() -> None:
    cells = [
        flip_flop("a", 1, 10),
        flip_flop("b", 2, 11),
        flip_flop("c", 3, 12, enable=4),
        flip_flop("d", 3, 13, reset=4),
        flip_flop("e", 3, 14, enable=4, reset=4),
        memory("SRL16E", CLK=CLOCK, CE=4),
        memory("RAMB36E2", CLKARDCLK=CLOCK),
    ]
    assert control_sets(netlist(*cells)) == 5


def test_nets_with_many_loads_are_named_and_clocks_are_not_among_them() -> None:
    many = MANY_LOADS + 1
    cells = [flip_flop("few", 1, 2), flip_flop("many", 1, 3)]
    cells += [lut(2, o=100 + index) for index in range(MANY_LOADS)]
    cells += [lut(3, 4, o=5000 + index) for index in range(many)]
    cells += [flip_flop("x", 1, 9000 + index) for index in range(many)]
    found = fanouts(netlist(*cells, start=4, clk=CLOCK, d=1))
    assert found == [
        Fanout("d", many + 2, ""),
        Fanout("many", many, "rtl_gen/many.py:1"),
        Fanout("start", many, ""),
    ]
