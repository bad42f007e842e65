# SPDX-License-Identifier: Apache-2.0
"""Rounding of real values as number formats hold them.

A *word* is W neighbouring channels of a row that are read and written together. With a word
exponent its values are ``m * 2^e * step``: m signed 8 bit within +-127, e in 0..7 for the whole
word and chosen when it is written. An outlier then costs the bits of its own word only.
"""

from __future__ import annotations

import numpy as np

from meadow.spec.numerics import LARGEST_EXPONENT, LIMIT_INT8

__all__ = [
    "WORD_RANGE",
    "clipped_step",
    "rounded_rows",
    "rounded_words",
    "word_exponents",
]

WORD_RANGE = LIMIT_INT8 << LARGEST_EXPONENT
"""Largest value of a word with an exponent, in steps."""

_INT16 = (1 << 15) - 1
_CLIPS = np.linspace(0.3, 1.0, 71)
_BINS = 250 * LIMIT_INT8


def word_exponents(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Signed 16-bit integers ``[n, c]`` as words: m int8 ``[n, c]``, e int8 ``[n, words]``.

    With v the values of a word, ``e = clamp(bits(max(max(v, ~v))) - 7, 0, 7)`` and
    ``m = clamp((v + half) >> e, -127, 127)``, half being ``2^(e - 1)``, or 0 for e = 0. The last
    word of a row is filled up with zeros.
    """
    rows, channels = values.shape
    words = -(-channels // width)
    padded = np.zeros((rows, words * width), np.int32)
    padded[:, :channels] = values
    padded = padded.reshape(rows, words, width)
    largest = np.maximum(padded, ~padded).max(axis=2)
    bits = np.frexp(largest.astype(np.float64))[1]  # of 0 it is 0
    exponents = np.clip(bits - 7, 0, LARGEST_EXPONENT)
    half = (1 << exponents) >> 1
    mantissas = (padded + half[:, :, None]) >> exponents[:, :, None]
    mantissas = np.clip(mantissas, -LIMIT_INT8, LIMIT_INT8).reshape(rows, -1)[:, :channels]
    return mantissas.astype(np.int8), exponents.astype(np.int8)


def rounded_words(x: np.ndarray, step: float, width: int) -> np.ndarray:
    """Real values ``[n, c]`` as words with exponents hold them, in units of `step`."""
    values = np.clip(np.rint(x / step), -_INT16 - 1, _INT16).astype(np.int32)
    mantissas, exponents = word_exponents(values, width)
    scale = np.repeat(np.ldexp(step, exponents), width, axis=1)[:, : x.shape[1]]
    return (mantissas * scale).astype(x.dtype)


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
