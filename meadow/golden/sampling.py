# SPDX-License-Identifier: Apache-2.0
"""Choice of the next token from logits: greedy, and top-k with a seeded generator."""

from __future__ import annotations

import numpy as np

__all__ = ["greedy", "sample_top_k", "top_k"]


def greedy(logits: np.ndarray) -> int:
    """Token of the largest logit; among equal ones the lowest index wins.

    logits : ``[vocabulary]``, float or integer.
    """
    _require_vector(logits)
    return int(np.argmax(logits))


def top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """Indices ``[min(k, vocabulary)]`` of the largest logits, largest first, ties by index.

    logits : ``[vocabulary]``, float or integer.
    """
    _require_vector(logits)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    # Negation would overflow the most negative integer, hence the wider type.
    wide = logits.astype(np.float64 if logits.dtype.kind == "f" else np.int64)
    return np.argsort(-wide, kind="stable")[:k]


def sample_top_k(
    logits: np.ndarray, *, k: int, generator: np.random.Generator, temperature: float = 1.0
) -> int:
    """Draw a token from ``softmax(logits / temperature)`` restricted to the k largest logits.

    logits : ``[vocabulary]``, float. One number is taken from ``generator`` per call, so a
    seed fixes the whole sequence of draws.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    kept = top_k(logits, k)
    scaled = logits[kept].astype(np.float64) / temperature
    weights = np.exp(scaled - scaled[0])
    cumulative = np.cumsum(weights)
    drawn = int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
    return int(kept[min(drawn, len(kept) - 1)])


def _require_vector(logits: np.ndarray) -> None:
    if logits.ndim != 1 or logits.size == 0:
        raise ValueError(f"logits must have the shape [vocabulary], not {list(logits.shape)}")
