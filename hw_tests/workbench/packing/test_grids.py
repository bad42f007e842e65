# SPDX-License-Identifier: Apache-2.0
"""Grids are symmetric, as wide as their bits say, and as near to the weights as their step
allows.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from workbench.packing.grids import GRIDS, Grid, grid_integers


def weights(seed: int = 0, shape: tuple[int, int] = (12, 40)) -> np.ndarray:
    return np.random.default_rng(salted(seed)).standard_t(4, shape).astype(np.float32)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_weight_is_within_half_a_step(bits: int, per_channel: bool) -> None:
    grid, weight = Grid(bits, per_channel), weights(bits)
    integers = grid_integers(weight, grid)
    assert integers.dtype == np.int8 and integers.shape == weight.shape
    assert grid.levels == 2 ** (bits - 1) - 1
    largest = np.abs(weight).max(axis=1, keepdims=True) if per_channel else np.abs(weight).max()
    step = largest / grid.levels
    assert (np.abs(integers * step - weight) <= step * 0.5001).all()
    reached = np.abs(integers).max(axis=1)
    assert reached.max() == grid.levels
    assert not per_channel or (reached == grid.levels).all()


def test_names_say_what_they_are() -> None:
    for name, grid in GRIDS.items():
        assert name == f"w{grid.bits}-{'channel' if grid.per_channel else 'tensor'}"
    assert list(GRIDS) == ["w8-tensor", "w8-channel", "w6-channel", "w4-channel"]


def test_silence_stays_silent() -> None:
    weight = weights()
    weight[3] = 0
    assert not grid_integers(weight, GRIDS["w8-channel"])[3].any()
    assert not grid_integers(np.zeros((4, 4)), GRIDS["w8-tensor"]).any()


def test_the_largest_is_its_level_even_where_division_rounds() -> None:
    for seed in range(50):
        weight = weights(seed, (1, 8)) * np.float32(1e-30)
        assert np.abs(grid_integers(weight, GRIDS["w8-tensor"])).max() == 127


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(4), "must be a matrix"),
        (np.zeros((0, 4)), "that is not empty"),
        (np.array([[1.0, np.nan]]), "finite values only"),
        (np.array([[1.0, np.inf]]), "finite values only"),
    ],
)
def test_what_is_no_weight_is_refused(weight: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_integers(weight, GRIDS["w8-tensor"])


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits of a grid must be 2..8, not {bits}"):
        Grid(bits, per_channel=False)
