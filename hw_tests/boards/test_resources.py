# SPDX-License-Identifier: Apache-2.0
"""DSPs and block RAMs of a board's configuration, counted by yosys, fit its device."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.board import BOARDS, named_board
from boards.resources import BLOCKS, _sum_cells, count_block, count_device
from hw_tests.marks import long
from meadow.spec.config import named_config

PERFORMANCE = Path(__file__).parents[2] / "docs" / "performance.md"


def test_primitives_are_folded() -> None:
    cells = {"DSP48E2": 3, "RAMB36E2": 2, "RAMB18E2": 1, "LUT6": 5, "RAM32M16": 2, "FDRE": 7}
    assert _sum_cells(cells) == {"dsp": 3, "ramb18": 5, "lut": 21, "ff": 7}


@pytest.mark.slow
def test_a_lane_has_one_multiplier_for_two_rows_of_a_weight() -> None:
    """tiny: R*W/2 multipliers of the array and the requantisers' own."""
    config = named_config("tiny")
    counts = count_block("lane", "zcu102", "tiny", luts=False)
    assert counts["dsp"] >= config.rows * config.width // 2
    assert counts["dsp"] <= config.rows * config.width // 2 + 4 * config.rows


@pytest.mark.slow
@pytest.mark.parametrize("name", [long(name) for name in BOARDS])
def test_the_configuration_of_a_board_fits_its_device(name: str) -> None:
    counts = count_device(name, luts=False)
    assert set(counts) == {*BLOCKS, "total"}
    board = named_board(name)
    config, device = named_config(board.config_name), board.device
    assert 2 * counts["lane"]["dsp"] * config.lanes >= config.macs
    assert counts["total"]["dsp"] <= device["dsp"], counts
    assert counts["total"]["ramb18"] <= 2 * device["ramb36"], counts
    dsp = f"{counts['total']['dsp']} of {device['dsp']}"
    memories = f"{counts['total']['ramb18'] / 2:g} of {device['ramb36']}"
    assert f"| **all** | | **{dsp}** | **{memories}** |" in PERFORMANCE.read_text("utf-8")
