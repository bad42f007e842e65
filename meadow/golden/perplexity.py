# SPDX-License-Identifier: Apache-2.0
"""How well a model predicts text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

__all__ = ["perplexity"]


def perplexity(
    model_forward: Callable[[np.ndarray], np.ndarray],
    token_sequences: Iterable[Sequence[int] | np.ndarray],
) -> float:
    """``exp`` of the mean negative log-likelihood per predicted token.

    model_forward : tokens ``[n]`` -> logits ``[n, vocabulary]``. The first token of a sequence
    is given, all others are predicted; each predicted token of all sequences weighs the same.
    """
    total, count = 0.0, 0
    for sequence in token_sequences:
        ids = np.asarray(sequence)
        if len(ids) < 2:
            raise ValueError(f"a sequence needs at least 2 tokens, not {len(ids)}")
        logits = model_forward(ids[:-1]).astype(np.float64)
        peak = logits.max(axis=-1)
        norm = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=-1))
        total += float(np.sum(norm - logits[np.arange(len(ids) - 1), ids[1:]]))
        count += len(ids) - 1
    if count == 0:
        raise ValueError("perplexity needs at least one sequence, not none")
    return float(np.exp(total / count))
