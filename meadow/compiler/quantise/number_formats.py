# SPDX-License-Identifier: Apache-2.0
"""The range of words with exponents, and the step of 8-bit values with one static scale."""

from __future__ import annotations

import numpy as np

from meadow.spec.numerics import LARGEST_EXPONENT, LIMIT_INT8

__all__ = ["WORD_RANGE", "clipped_step"]

WORD_RANGE = LIMIT_INT8 << LARGEST_EXPONENT
"""Largest value of a word with an exponent, in steps."""

_CLIPS = np.linspace(0.3, 1.0, 71)
_BINS = 250 * LIMIT_INT8


def clipped_step(samples: np.ndarray) -> float:
    """The step of signed 8-bit values that holds samples (any shape) with the least squared error.

    The range is the largest sample or less of it: few large samples may be worth less than finer
    steps for all others. Samples are looked at in bins of nearly equal size, 250 to the largest
    step. 1 if all samples are 0.
    """
    sizes = np.abs(samples, dtype=np.float32).reshape(-1)
    largest = float(sizes.max(initial=0.0))
    if largest == 0:
        return 1.0
    bins = (sizes * np.float32(_BINS / largest)).astype(np.int32)
    counts = np.bincount(bins)
    middle = np.bincount(bins, weights=sizes)[counts > 0]
    counts = counts[counts > 0]
    middle /= counts
    steps = largest * _CLIPS / LIMIT_INT8
    units = middle / steps[:, None]
    held = np.minimum(np.rint(units), LIMIT_INT8)
    errors = np.square((held - units) * steps[:, None]) @ counts
    return float(steps[int(np.argmin(errors))])
