# SPDX-License-Identifier: Apache-2.0
"""DSPs and block RAMs of configuration zcu102, counted by yosys block by block, fit the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.zcu102.resources import BLOCKS, DEVICE, _sum_cells, count_block, count_device
from meadow.spec.config import named_config

PERFORMANCE = Path(__file__).parents[3] / "docs" / "performance.md"


def test_primitives_are_folded() -> None:
    cells = {"DSP48E2": 3, "RAMB36E2": 2, "RAMB18E2": 1, "LUT6": 5, "RAM32M16": 2, "FDRE": 7}
    assert _sum_cells(cells) == {"dsp": 3, "ramb18": 5, "lut": 21, "ff": 7}


@pytest.mark.slow
def test_a_lane_has_one_multiplier_per_weight() -> None:
    """tiny: R*W products of the array and the requantisers' own."""
    config = named_config("tiny")
    counts = count_block("lane", "tiny", luts=False)
    assert counts["dsp"] >= config.rows * config.width
    assert counts["dsp"] <= config.rows * config.width + 4 * config.rows


@pytest.mark.slow
def test_the_largest_configuration_fits_its_device() -> None:
    counts = count_device("zcu102", luts=False)
    assert set(counts) == {*BLOCKS, "total"}
    config = named_config("zcu102")
    assert counts["lane"]["dsp"] * config.lanes >= config.macs
    assert counts["total"]["dsp"] <= DEVICE["dsp"], counts
    assert counts["total"]["ramb18"] <= 2 * DEVICE["ramb36"], counts
    dsp = f"{counts['total']['dsp']} of {DEVICE['dsp']}"
    memories = f"{counts['total']['ramb18'] / 2:g} of {DEVICE['ramb36']}"
    assert f"| **all** | | **{dsp}** | **{memories}** |" in PERFORMANCE.read_text("utf-8")
