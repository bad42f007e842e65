# SPDX-License-Identifier: Apache-2.0
"""Loads of resets, as they stand in a netlist."""

from __future__ import annotations

from boards.synthesis.netlist import Cell, Netlist
from boards.timing.limits import LIMITS, MOST_RESET_LOADS, limits_of
from boards.timing.resets import reset_loads
from hw_tests.boards.timing.cells import flip_flop, lut


def test_loads_of_a_reset_port_are_counted() -> None:
    cells = [flip_flop(f"a{n}", "0", 10 + n, reset=1) for n in range(3)] + [lut(1, 10, o=20)]
    cells.append(flip_flop("b", 20, 21, reset=2))
    netlist = Netlist("block", cells, {"rst": [1], "i_presets": [2]}, {})
    assert reset_loads(netlist) == {"rst": 4}


def test_a_register_and_a_lut_that_pass_a_reset_on_are_no_loads_but_have_some() -> None:
    cells = [flip_flop("unit_reset", 1, 2)]
    cells += [flip_flop(f"a{n}", "0", 10 + n, reset=2) for n in range(5)]
    cells += [lut(2, 10, o=3), *(flip_flop(f"b{n}", "0", 20 + n, reset=3) for n in range(7))]
    netlist = Netlist("block", cells, {"rst_registered": [1]}, {})
    assert reset_loads(netlist) == {"unit_reset": 12, "rst_registered": 0}


def test_logic_that_a_reset_goes_into_is_one_load() -> None:
    cells = [lut(1, 2, o=3), flip_flop("a", 3, 4, reset=3)]  # not for reset pins alone
    assert reset_loads(Netlist("block", cells, {"rst": [1], "i": [2]}, {})) == {"rst": 1}


def test_black_boxes_are_counted_where_their_netlist_is() -> None:
    cells = [flip_flop("a", "0", 2, reset=1), Cell("decoder", {"rst": [1]}, {}, name="decoder0")]
    assert reset_loads(Netlist("top", cells, {"rst": [1]}, {})) == {"rst": 1}


def test_every_block_has_the_limits_of_the_issue_unless_stated() -> None:
    assert limits_of("storer") == {"full": 5.0, "budget": 4.0}
    assert limits_of("decoder_2") == limits_of("decoder")
    assert MOST_RESET_LOADS == 40_000
    for limits in LIMITS.values():
        assert set(limits) <= {"full", "budget"}
