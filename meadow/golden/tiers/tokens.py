# SPDX-License-Identifier: Apache-2.0
"""Tokens as the tiers take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["checked_tokens"]


def checked_tokens(tokens: Sequence[int] | np.ndarray, vocabulary: int) -> np.ndarray:
    """The tokens as an array ``[n]``; ValueError for none, for others than integers, and for a
    number that is no token of the vocabulary.
    """
    ids = np.asarray(tokens)
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"tokens must be a vector of at least one integer, not {ids.dtype} "
            f"of shape {list(ids.shape)}"
        )
    if ids.min() < 0 or ids.max() >= vocabulary:
        wrong = ids[(ids < 0) | (ids >= vocabulary)][0]
        raise ValueError(f"a token must be 0 to {vocabulary - 1}, not {wrong}")
    return ids
