# SPDX-License-Identifier: Apache-2.0
"""`meadow.spec.numerics` on NumPy arrays: the same integers, element by element.

Every function takes int64 arrays (or what converts to them without loss) and broadcasts its
arguments; results are int64. Nothing is checked per element: values outside the ranges that the
scalar functions state give undefined results.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from meadow.spec.numerics import (
    EXP2_BITS,
    EXP2_TABLE,
    LARGEST_EXPONENT,
    LIMIT_INT8,
    MAX_SHIFT,
    NEWTON_TABLE,
    SCORE_FRACTION_BITS,
    TABLE_SHIFT,
)

__all__ = [
    "bit_length",
    "block_maximum",
    "gate",
    "layer_norm",
    "output_scale",
    "probability",
    "reciprocal",
    "requantise",
    "rotate",
    "rounding_shift",
    "rsqrt",
    "saturate",
    "softmax_rows",
    "table_index",
    "within_limit",
    "word_exponent",
    "word_numbers",
    "word_values",
    "words",
]

_NEWTON = np.array(NEWTON_TABLE, np.int64)
_EXP2 = np.array(EXP2_TABLE, np.int64)


def saturate(value: np.ndarray, bits: int) -> np.ndarray:
    """Clamp to signed `bits`; 8 bits clamp to -127..127."""
    high = LIMIT_INT8 if bits == 8 else (1 << (bits - 1)) - 1
    low = -high if bits == 8 else -high - 1
    return np.minimum(np.maximum(value, low), high)


def within_limit(elements: np.ndarray) -> np.ndarray:
    """int8 weights, keys or values as they are multiplied: -127 in place of -128."""
    return np.maximum(elements, np.int8(-LIMIT_INT8))


def rounding_shift(value: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """(value + 2^(shift-1)) >> shift, shift 0 leaves the value; shift 0..63, |value| < 2^62."""
    # (1 << shift) >> 1 is 2^(shift-1), and 0 where the shift is 0. At 63 the sign bit would come
    # down as -2^62, so the shift happens unsigned.
    half = (np.uint64(1) << np.asarray(shift).astype(np.uint64)) >> np.uint64(1)
    return (value + half.astype(np.int64)) >> np.asarray(shift, np.int64)


def requantise(
    value: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int, bits: int
) -> np.ndarray:
    """saturate((value*multiplier + 2^(shift-1)) >> shift), |value| < 2^36, 1 <= shift <= 47.

    multiplier (unsigned 16 bit) and shift are numbers, or arrays that broadcast against value:
    [out] for a value [n, out] is one pair per channel.
    """
    product = np.asarray(value, np.int64) * np.asarray(multiplier, np.int64)
    amount = np.asarray(shift, np.int64)
    product += np.int64(1) << (amount - 1)
    return saturate(product >> amount, bits)


def bit_length(value: np.ndarray) -> np.ndarray:
    """`int.bit_length` of 0 <= value < 2^63."""
    value = np.asarray(value, np.int64)
    # float64 is exact for the two halves, not for the whole.
    high = value >> 32
    length_high = np.frexp(high.astype(np.float64))[1]
    length_low = np.frexp((value & 0xFFFFFFFF).astype(np.float64))[1]
    return np.where(high > 0, length_high + 32, length_low).astype(np.int64)


def block_maximum(maximum_score: np.ndarray) -> np.ndarray:
    """ceil(z_max / 256)."""
    return (maximum_score + (1 << SCORE_FRACTION_BITS) - 1) >> SCORE_FRACTION_BITS


@lru_cache(maxsize=16)
def _probability_table(probability_bits: int) -> np.ndarray:
    """Probability by distance d = 256*M - z; the last entry, 0, stands for all larger ones."""
    distance = np.arange((probability_bits + 2) << SCORE_FRACTION_BITS, dtype=np.int64)
    shift = (distance >> SCORE_FRACTION_BITS) + EXP2_BITS - probability_bits
    power = rounding_shift(_EXP2[distance & ((1 << SCORE_FRACTION_BITS) - 1)], shift)
    table = np.minimum((1 << probability_bits) - 1, power)
    if table[-1] != 0:
        raise AssertionError("the last entry of the probability table must be 0")
    table.setflags(write=False)
    return table


def probability(score: np.ndarray, maximum: np.ndarray, probability_bits: int) -> np.ndarray:
    """2^bits * 2^(z/256 - M), rounded half up, saturating at 2^bits - 1; needs z <= 256*M."""
    table = _probability_table(probability_bits)
    distance = (np.asarray(maximum, np.int64) << SCORE_FRACTION_BITS) - score
    return table[np.minimum(distance, len(table) - 1)]


def softmax_rows(
    scores: np.ndarray, visible: np.ndarray, probability_bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """`softmax_row` of the visible scores of every row: [..., L] -> ([..., L], [...]).

    visible: bool, broadcasts against the scores; at least one of a row, the others get 0.
    """
    masked = np.where(visible, np.asarray(scores, np.int64), -(1 << 15))
    maximum = block_maximum(masked.max(axis=-1, keepdims=True))
    row = np.where(visible, probability(masked, maximum, probability_bits), 0)
    return row, row.sum(axis=-1)


def table_index(value: np.ndarray) -> np.ndarray:
    """Entry of the activation table for signed 16-bit inputs: (value + 2^15) >> 5."""
    return (np.asarray(value, np.int64) + (1 << 15)) >> TABLE_SHIFT


def rotate(
    x: np.ndarray, y: np.ndarray, cosine: np.ndarray, sine: np.ndarray, shift: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of signed 16-bit channels turned, to signed 8 bit; 1 <= shift <= 31."""
    x, y, cosine, sine = (np.asarray(value, np.int64) for value in (x, y, cosine, sine))
    return (
        saturate(rounding_shift(x * cosine - y * sine, shift), 8),
        saturate(rounding_shift(x * sine + y * cosine, shift), 8),
    )


def gate(activated: np.ndarray, value: np.ndarray, shift: int) -> np.ndarray:
    """sat16(rounding_shift(activated * value, shift)): signed 16 by signed 16 bit, 1 <= shift <=
    31.
    """
    product = np.asarray(activated, np.int64) * np.asarray(value, np.int64)
    return saturate(rounding_shift(product, shift), 16)


def word_exponent(values: np.ndarray) -> np.ndarray:
    """Exponents of words of signed 16-bit values: [..., W] -> [...], 0..LARGEST_EXPONENT."""
    largest = np.maximum(values, ~np.asarray(values)).max(axis=-1)
    return np.clip(bit_length(largest) - 7, 0, LARGEST_EXPONENT)


def word_values(values: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """The signed 8-bit values of words with these exponents: sat8(rounding_shift(v, exponent))."""
    return saturate(rounding_shift(np.asarray(values, np.int64), exponent), 8)


def words(values: np.ndarray, width: int, padding: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of signed 16-bit values [n, c] as words of `width` channels.

    Returns their values int8 [n, c] and their exponents uint8 [n, ceil(c / width)]. The last word
    of a row is filled up with `padding`; zeros do not change its exponent.
    """
    rows, channels = values.shape
    count = -(-channels // width)
    # 32 bits hold every intermediate of 16-bit values, and are faster than 64.
    padded = np.full((rows, count * width), padding, np.int32)
    padded[:, :channels] = values
    padded = padded.reshape(rows, count, width)
    exponents = word_exponent(padded)
    half = ((1 << exponents) >> 1).astype(np.int32)[..., None]
    short = saturate((padded + half) >> exponents.astype(np.int32)[..., None], 8)
    short = short.reshape(rows, count * width)[:, :channels]
    return short.astype(np.int8), exponents.astype(np.uint8)


def word_numbers(values: np.ndarray, exponents: np.ndarray, width: int) -> np.ndarray:
    """What words stand for, m * 2^e: int8 [n, c], uint8 [n, words] -> int16 [n, c]."""
    shift = np.repeat(exponents, width, axis=1)[:, : values.shape[1]]
    return values.astype(np.int16) << shift.astype(np.int16)


def reciprocal(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q, n) with 1/total ~ q * 2^(-15-n), 0 <= total < 2^46; total = 0 gives (0, 0)."""
    total = np.asarray(total, np.int64)
    length = bit_length(total)
    normalised = np.maximum((total << 16) >> length, 1)
    quotient = np.minimum(65535, (1 << 31) // normalised)
    return np.where(total == 0, 0, quotient), length


def output_scale(
    total: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift that turn P.V accumulators of softmax sum `total` into outputs."""
    quotient, length = reciprocal(total)
    scale = (quotient * np.asarray(multiplier, np.int64) + (1 << 15)) >> 16
    return scale, np.clip(np.asarray(shift, np.int64) + length, 1, MAX_SHIFT)


def rsqrt(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, h) with 1/sqrt(value) ~ r * 2^(-15-h), r 16 bits; 1 <= value < 2^62."""
    value = np.asarray(value, np.int64)
    even = (bit_length(value) + 1) & ~np.int64(1)
    aligned = (value << np.maximum(32 - even, 0)) >> np.maximum(even - 32, 0)
    guess = _NEWTON[(aligned >> 23) - 128]
    correction = (guess * guess * (aligned >> 12)) >> 33
    return np.minimum(65535, (guess * (3 * 2**17 - correction) + 2**17) >> 18), even // 2


def layer_norm(
    rows: np.ndarray,
    gain: np.ndarray,
    offset: np.ndarray,
    *,
    epsilon: int,
    mean_multiplier: int,
    mean_shift: int,
    norm_shift: int,
    offset_shift: int,
    output_shift: int,
    rms: bool = False,
) -> np.ndarray:
    """`layer_norm_row` of each INT16 row [n, d], d true channels; gain, offset [d] -> [n, d] of 16
    bits.
    """
    rows = np.asarray(rows, np.int64)
    channels = rows.shape[-1]
    square = np.einsum("nd,nd->n", rows, rows)
    total = np.zeros_like(square) if rms else rows.sum(axis=-1)
    spread = channels * square - total * total + epsilon
    mean = requantise(total, mean_multiplier, mean_shift, 32)
    root, half = rsqrt(spread)
    shift = np.clip(norm_shift + half, 1, MAX_SHIFT)
    scaled = rounding_shift((16 * rows - mean[:, None]) * root[:, None], shift[:, None])
    product = saturate(scaled, 16) * np.asarray(gain, np.int64)
    product += np.asarray(offset, np.int64) << offset_shift
    return saturate(rounding_shift(product, output_shift), 16)
