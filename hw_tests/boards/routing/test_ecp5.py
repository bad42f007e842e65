# SPDX-License-Identifier: Apache-2.0
"""What cells take of the device, and the refusal of what does not fit."""

from __future__ import annotations

import pytest

from boards.routing.ecp5 import AVAILABLE, NoRoomError, check_room, count_cells


def _module(**cells: int) -> dict[str, dict[str, dict[str, str]]]:
    return {
        "cells": {
            f"{kind}{number}": {"type": kind}
            for kind, count in cells.items()
            for number in range(count)
        }
    }


def test_cells_are_counted_as_what_they_take() -> None:
    module = _module(LUT4=5, CCU2C=3, TRELLIS_DPR16X4=2, PFUMX=2, L6MUX21=1, TRELLIS_FF=7)
    assert count_cells(module) == {"comb": 5 + 6 + 12, "ff": 7, "mult18": 0, "dp16kd": 0}
    assert count_cells(_module(MULT18X18D=4, DP16KD=9)) == {
        "comb": 0,
        "ff": 0,
        "mult18": 4,
        "dp16kd": 9,
    }


def test_a_cell_of_no_known_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^2 cells DSP48E2 are no primitive of LFE5UM5G-85F"):
        count_cells(_module(DSP48E2=2))


def test_a_full_device_fits() -> None:
    check_room("a block", AVAILABLE)


@pytest.mark.parametrize("kind", AVAILABLE)
def test_one_too_many_of_any_kind_is_refused_with_the_numbers(kind: str) -> None:
    counts = {**AVAILABLE, kind: AVAILABLE[kind] + 1}
    rule = f"a block does not fit into LFE5UM5G-85F: it needs {counts[kind]} of {AVAILABLE[kind]}"
    with pytest.raises(NoRoomError, match=f"^{rule} {kind}$"):
        check_room("a block", counts)


def test_all_that_is_too_much_is_named() -> None:
    counts = {"comb": 90000, "ff": 1, "mult18": 200, "dp16kd": 3}
    with pytest.raises(NoRoomError, match="needs 90000 of 83640 comb, 200 of 156 mult18$"):
        check_room("chip of nano", counts)
