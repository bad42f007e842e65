# SPDX-License-Identifier: Apache-2.0
"""Perplexity: known values, the weight of a token, and what is too little."""

from __future__ import annotations

import numpy as np
import pytest

from meadow.golden.perplexity import perplexity


def test_perplexity_counts_predicted_tokens() -> None:
    """Uniform logits over 8 tokens have the perplexity 8, a sure and right model 1."""
    sequences = [[0, 1, 2], [3, 4]]
    assert perplexity(lambda ids: np.zeros((len(ids), 8), np.float32), sequences) == pytest.approx(
        8
    )
    follows = 1000 * np.eye(8, k=1, dtype=np.float32)
    assert perplexity(lambda ids: follows[ids], sequences) == pytest.approx(1)


def test_perplexity_weighs_tokens_not_sequences() -> None:
    def half_sure(ids: np.ndarray) -> np.ndarray:
        return np.zeros((len(ids), 8 if len(ids) > 1 else 2), np.float32)

    expected = np.exp((2 * np.log(8) + np.log(2)) / 3)
    assert perplexity(half_sure, [[0, 1, 2], [1, 1]]) == pytest.approx(expected)


def test_perplexity_of_too_little() -> None:
    with pytest.raises(ValueError, match="a sequence needs at least 2 tokens, not 1"):
        perplexity(lambda ids: np.zeros((len(ids), 4)), [[1]])
    with pytest.raises(ValueError, match="perplexity needs at least one sequence"):
        perplexity(lambda ids: np.zeros((len(ids), 4)), [])
