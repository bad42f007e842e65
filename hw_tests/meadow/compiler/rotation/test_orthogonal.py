# SPDX-License-Identifier: Apache-2.0
"""Hadamard matrices of every order the constructions give, and spreading matrices of any width."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.rotation.orthogonal import hadamard, spreading_matrix


def test_hadamard_matrices_have_signs_and_orthogonal_rows() -> None:
    found = []
    for order in range(1, 130):
        matrix = hadamard(order)
        if matrix is None:
            continue
        found.append(order)
        assert set(np.unique(matrix)) <= {-1, 1}
        np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order, dtype=int))
    # Of the multiples of 4 only those of 92 and 116, and of 52, 100 need other constructions.
    assert [n for n in range(4, 130, 4) if n not in found] == MISSING
    assert found[:2] == [1, 2] and not [n for n in found if n > 2 and n % 4]


MISSING = [52, 92, 100, 116]


@pytest.mark.parametrize("width", [64, 72, 576, 768, 896, 960])
def test_usual_widths_spread_a_channel_evenly(width: int) -> None:
    matrix = spreading_matrix(width, seed=salted(1))
    np.testing.assert_allclose(np.abs(matrix), 1 / math.sqrt(width), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3, 6, 40, 44, 52, 172, 250, 576])
def test_any_width_has_an_orthogonal_matrix(width: int) -> None:
    matrix = spreading_matrix(width, seed=salted(2))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(width), atol=1e-12)
    assert np.abs(matrix).max() <= math.sqrt(2 / width) + 1e-12


def test_seeds_choose_signs() -> None:
    first, again, other = (spreading_matrix(16, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.abs(first), np.abs(other))


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the width must be at least 1, not 0"):
        spreading_matrix(0)
