# SPDX-License-Identifier: Apache-2.0
"""Rounding of real values as number formats hold them.

A *word* is W neighbouring channels of a row that are read and written together. With a word
exponent its values are ``m * 2^e * step``: m signed 8 bit within +-127, e in 0..7 for the whole
word and chosen when it is written. An outlier then costs the bits of its own word only.
"""

from __future__ import annotations

import numpy as np

from meadow.golden.numerics import word_numbers, words
from meadow.spec.numerics import LARGEST_EXPONENT, LIMIT_INT8

__all__ = [
    "WORD_RANGE",
    "clipped_step",
    "rounded_rows",
    "rounded_words",
]

WORD_RANGE = LIMIT_INT8 << LARGEST_EXPONENT
"""Largest value of a word with an exponent, in steps."""

_INT16 = (1 << 15) - 1
_CLIPS = np.linspace(0.3, 1.0, 71)
_BINS = 250 * LIMIT_INT8


def rounded_words(x: np.ndarray, step: float, width: int) -> np.ndarray:
    """Real values ``[n, c]`` as words with exponents hold them, in units of `step`."""
    values = np.clip(np.rint(x / step), -_INT16 - 1, _INT16).astype(np.int32)
    return (word_numbers(*words(values, width), width) * step).astype(x.dtype)


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


def rounded_rows(weight: np.ndarray) -> np.ndarray:
    """A matrix ``[out, in]`` in signed 8 bits with a step for each row, the largest of it 127."""
    largest = np.abs(weight).max(axis=1, keepdims=True)
    step = np.where(largest > 0, largest, 1.0) / LIMIT_INT8
    return np.rint(weight / step) * step
