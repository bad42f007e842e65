# SPDX-License-Identifier: Apache-2.0
"""Greedy and top-k choice of tokens."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.golden.sampling import greedy, sample_top_k, top_k


def test_greedy_takes_the_lowest_of_equal_ones() -> None:
    assert greedy(np.array([1, 5, 5, 2])) == 1
    assert greedy(np.array([-3.0, -3.0])) == 0


def test_top_k_order_and_ties() -> None:
    logits = np.array([2.0, 7.0, 2.0, 9.0, 2.0])
    assert top_k(logits, 4).tolist() == [3, 1, 0, 2]
    assert top_k(logits, 99).tolist() == [3, 1, 0, 2, 4]


def test_top_k_of_the_most_negative_integer() -> None:
    assert top_k(np.array([-32768, 3], np.int16), 1).tolist() == [1]


def test_sampling_is_fixed_by_the_seed() -> None:
    logits = np.random.default_rng(salted(1)).normal(size=50)

    def draw(seed: int) -> list[int]:
        generator = np.random.default_rng(salted(seed))
        return [sample_top_k(logits, k=8, generator=generator) for _ in range(40)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
    assert set(draw(3)) <= set(top_k(logits, 8).tolist())


def test_sampling_frequencies() -> None:
    """20000 draws agree with the probabilities to five standard deviations."""
    logits = np.log(np.array([0.5, 0.1, 0.3, 0.1]))
    generator = np.random.default_rng(salted(7))
    draws = [sample_top_k(logits, k=3, generator=generator) for _ in range(20_000)]
    counts = np.bincount(draws, minlength=4) / len(draws)
    expected = np.array([0.5, 0.1, 0.3, 0.0]) / 0.9
    np.testing.assert_allclose(counts, expected, atol=5 * 0.5 / np.sqrt(len(draws)))
    assert counts[3] == 0


def test_low_temperature_and_k_1_are_greedy() -> None:
    logits = np.random.default_rng(salted(2)).normal(size=30)
    generator = np.random.default_rng(salted(0))
    assert sample_top_k(logits, k=30, generator=generator, temperature=1e-6) == greedy(logits)
    assert sample_top_k(logits, k=1, generator=generator) == greedy(logits)


def test_wrong_arguments() -> None:
    generator = np.random.default_rng(salted(0))
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        top_k(np.zeros(3), 0)
    with pytest.raises(ValueError, match="temperature must be above 0, not 0"):
        sample_top_k(np.zeros(3), k=1, generator=generator, temperature=0)
    with pytest.raises(
        ValueError, match=r"logits must have the shape \[vocabulary\], not \[2, 3\]"
    ):
        greedy(np.zeros((2, 3)))
