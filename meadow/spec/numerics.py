# SPDX-License-Identifier: Apache-2.0
"""Bit-exact number formats, as pure Python on plain integers: the one definition that golden and
RTL meet.

Golden vectorises these functions, RTL builds them, tests compare all three. Scales are static and
live in the multipliers and shifts that the compiler writes into commands, slice headers and norm
parameters.
"""

from __future__ import annotations

import math

__all__ = [
    "EXP2_BITS",
    "EXP2_TABLE",
    "EXPONENT_BITS",
    "LARGEST_EXPONENT",
    "LIMIT_INT8",
    "MAX_SHIFT",
    "MULTIPLIER_BITS",
    "NEWTON_TABLE",
    "RESCALE_LIMIT",
    "ROTARY_FRACTION_BITS",
    "SCORE_FRACTION_BITS",
    "TABLE_ENTRIES",
    "TABLE_SHIFT",
    "block_maximum",
    "gate",
    "layer_norm_row",
    "output_scale",
    "probability",
    "reciprocal",
    "requantise",
    "rotate",
    "rounding_shift",
    "rsqrt",
    "saturate",
    "softmax_row",
    "table_index",
    "vector_constants",
    "word_exponent",
    "word_values",
]

LIMIT_INT8 = 127
"""Weights, K and V stay within -127..127 so that two products fit one DSP48E2."""
EXPONENT_BITS = 3
LARGEST_EXPONENT = (1 << EXPONENT_BITS) - 1
"""Words of activations are W signed 8-bit values m with one exponent e: they stand for m * 2^e."""
MULTIPLIER_BITS = 16
MAX_SHIFT = 47
SCORE_FRACTION_BITS = 8
"""Fraction bits of a base-2 score: z = score * log2(e), saturated to 16 signed bits."""
EXP2_BITS = 16
TABLE_ENTRIES = 2048
"""INT16 entries of an activation table (GELU, SiLU), over the whole range of a 16-bit input."""
TABLE_SHIFT = 5
"""An entry stands for 2^TABLE_SHIFT neighbouring inputs."""
ROTARY_FRACTION_BITS = 14
"""Cosines and sines are signed 16 bit, 2^14 is 1."""
RESCALE_LIMIT = 63
"""A rescaling shift is clipped here; every accumulator is then zero anyway."""

EXP2_TABLE: tuple[int, ...] = tuple(
    round(2.0 ** (EXP2_BITS - index / 2**SCORE_FRACTION_BITS))
    for index in range(2**SCORE_FRACTION_BITS)
)
"""EXP2_TABLE[f] = round(2^16 * 2^(-f/256)); 17 bits, entry 0 is 65536."""

NEWTON_TABLE: tuple[int, ...] = tuple(
    min(65535, round(2.0**31 / math.sqrt((index + 128.5) * 2.0**23))) for index in range(384)
)
"""First guess of 2^31/sqrt(v) for v in [2^30, 2^32), indexed by (v >> 23) - 128; 16 bits."""


def saturate(value: int, bits: int) -> int:
    """Clamp to signed `bits`; 8 bits clamp to -127..127 (symmetric), wider ones to the full
    range.
    """
    high = (1 << (bits - 1)) - 1
    return max(-high if bits == 8 else -high - 1, min(high, value))


def rounding_shift(value: int, shift: int) -> int:
    """(value + 2^(shift-1)) >> shift, round half up; shift 0 leaves the value."""
    return value if shift == 0 else (value + (1 << (shift - 1))) >> shift


def requantise(value: int, multiplier: int, shift: int, bits: int) -> int:
    """saturate((value * multiplier + 2^(shift-1)) >> shift): the one rounding rule.

    `multiplier` is unsigned 16 bit, 1 <= shift <= 47, `value` at most 36 bits signed.
    """
    if not 0 <= multiplier < 1 << MULTIPLIER_BITS:
        raise ValueError(f"multiplier must fit {MULTIPLIER_BITS} unsigned bits, not {multiplier}")
    if not 1 <= shift <= MAX_SHIFT:
        raise ValueError(f"shift must be in 1..{MAX_SHIFT}, not {shift}")
    return saturate(rounding_shift(value * multiplier, shift), bits)


def block_maximum(maximum_score: int) -> int:
    """ceil(z_max / 256): the block's maximum rounded up to an integer power of two, -128..128."""
    return (maximum_score + (1 << SCORE_FRACTION_BITS) - 1) >> SCORE_FRACTION_BITS


def probability(score: int, maximum: int, probability_bits: int) -> int:
    """2^bits * 2^(z/256 - M), rounded half up, saturating at 2^bits - 1; needs z <= 256*M.

    d = 256*M - z; p = rounding_shift(EXP2_TABLE[d & 255], (d >> 8) + 16 - bits).
    """
    distance = (maximum << SCORE_FRACTION_BITS) - score
    if distance < 0:
        raise ValueError(f"score {score} exceeds its running maximum {maximum} * 256")
    fraction = distance & ((1 << SCORE_FRACTION_BITS) - 1)
    shift = (distance >> SCORE_FRACTION_BITS) + EXP2_BITS - probability_bits
    return min((1 << probability_bits) - 1, rounding_shift(EXP2_TABLE[fraction], shift))


def reciprocal(total: int) -> tuple[int, int]:
    """(q, n) with 1/total ~ q * 2^(-15-n): n = bit length, q = min(65535, floor(2^31 / l)).

    l = top 16 bits of total (left-aligned, truncated), in [2^15, 2^16). total = 0 gives (0, 0).
    """
    if total == 0:
        return 0, 0
    length = total.bit_length()
    normalised = (total << 16) >> length
    return min(65535, (1 << 31) // normalised), length


def output_scale(total: int, multiplier: int, shift: int) -> tuple[int, int]:
    """Multiplier and shift that turn a P.V accumulator into the attention output.

    m = (q * multiplier + 2^15) >> 16, s = clamp(shift + n, 1, 47), (q, n) = reciprocal(total).
    """
    q, length = reciprocal(total)
    return (q * multiplier + (1 << 15)) >> 16, max(1, min(MAX_SHIFT, shift + length))


def table_index(value: int) -> int:
    """Entry of the activation table for a signed 16-bit input: (value + 2^15) >> 5, 0..2047."""
    return (value + (1 << 15)) >> TABLE_SHIFT


def rotate(x: int, y: int, cosine: int, sine: int, shift: int) -> tuple[int, int]:
    """Rotary position of a pair of signed 16-bit channels, to signed 8 bit; 1 <= shift <= 31.

    (sat8(rounding_shift(x*cosine - y*sine, shift)), sat8(rounding_shift(x*sine + y*cosine,
    shift))); the products are signed 16 by 16 bit, their sum is exact.
    """
    return (
        saturate(rounding_shift(x * cosine - y * sine, shift), 8),
        saturate(rounding_shift(x * sine + y * cosine, shift), 8),
    )


def gate(activated: int, value: int, shift: int) -> int:
    """sat16(rounding_shift(activated * value, shift)): signed 16 by signed 16 bit; 1 <= shift <=
    31.
    """
    return saturate(rounding_shift(activated * value, shift), 16)


def word_exponent(values: list[int]) -> int:
    """Exponent of a word of signed 16-bit values: clamp(bits(max of max(v, ~v)) - 7, 0, 7).

    The values then fit 8 bits but for rounding and for those beyond 127 * 2^7, which saturate. A
    word of values within -127..127 has the exponent 0.
    """
    largest = max(max(value, ~value) for value in values)
    return max(0, min(LARGEST_EXPONENT, largest.bit_length() - 7))


def word_values(values: list[int], exponent: int) -> list[int]:
    """The signed 8-bit values of a word with this exponent: sat8(rounding_shift(v, exponent))."""
    return [saturate(rounding_shift(value, exponent), 8) for value in values]


def softmax_row(scores: list[int], probability_bits: int) -> tuple[list[int], int]:
    """(probabilities, total) of the visible scores of a row, at least one, as a separate command
    computes them.

    M = block_maximum(max of all scores); p = probability(z, M); total = sum of p. Not online: one
    maximum for the row.
    """
    maximum = block_maximum(max(scores))
    row = [probability(score, maximum, probability_bits) for score in scores]
    return row, sum(row)


def rsqrt(value: int) -> tuple[int, int]:
    """(r, h) with 1/sqrt(value) ~ r * 2^(-15-h), r 16 bits; 1 <= value < 2^62.

    t = bit length rounded up to even, h = t/2; v = value aligned to t = 32 (truncated), in [2^30,
    2^32); r0 = NEWTON_TABLE[(v >> 23) - 128]; w = (r0^2 * (v >> 12)) >> 33;
    r = min(65535, (r0 * (3*2^17 - w) + 2^17) >> 18).
    """
    if not 1 <= value < 1 << 62:
        raise ValueError(f"rsqrt takes 1 <= value < 2**62, not {value}")
    even = (value.bit_length() + 1) & ~1
    aligned = value << (32 - even) if even <= 32 else value >> (even - 32)
    guess = NEWTON_TABLE[(aligned >> 23) - 128]
    correction = (guess * guess * (aligned >> 12)) >> 33
    return min(65535, (guess * (3 * 2**17 - correction) + 2**17) >> 18), even // 2


def layer_norm_row(
    row: list[int],
    gain: list[int],
    offset: list[int],
    *,
    channels: int,
    epsilon: int,
    mean_multiplier: int,
    mean_shift: int,
    norm_shift: int,
    offset_shift: int,
    output_shift: int,
    rms: bool = False,
) -> list[int]:
    """Layer norm (or RMS norm) of one row of INT16 residuals to INT16.

    S1 = sum x (0 for RMS), S2 = sum x^2, V = channels*S2 - S1^2 + epsilon (epsilon >= 1);
    mean = requantise(S1, mean_multiplier, mean_shift, 32) = 16*S1/channels;
    (r, h) = rsqrt(V); n = sat16(rounding_shift((16*x - mean) * r, clamp(norm_shift + h, 1, 47)));
    y = sat16(rounding_shift(n*gain + offset*2^offset_shift, output_shift)).
    A NORM command makes words with exponents of it. With `residual` set it computes it twice: the
    second time with residual_shift, for the INT16 residual of a post-norm model.
    gain, offset: signed 16 bit per channel, 0 in padded channels; output_shift >= 1.
    """
    total = 0 if rms else sum(row)
    spread = channels * sum(x * x for x in row) - total * total + epsilon
    mean = requantise(total, mean_multiplier, mean_shift, 32)
    r, half = rsqrt(spread)
    shift = max(1, min(MAX_SHIFT, norm_shift + half))
    result = []
    for x, g, b in zip(row, gain, offset, strict=True):
        n = saturate(rounding_shift((16 * x - mean) * r, shift), 16)
        scaled = rounding_shift(n * g + (b << offset_shift), output_shift)
        result.append(saturate(scaled, 16))
    return result


def vector_constants() -> dict[str, object]:
    """Every constant of this file, for the contract hash."""
    return {
        "exp2_table": list(EXP2_TABLE),
        "newton_table": list(NEWTON_TABLE),
        "exponent_bits": EXPONENT_BITS,
        "limit_int8": LIMIT_INT8,
        "max_shift": MAX_SHIFT,
        "multiplier_bits": MULTIPLIER_BITS,
        "rescale_limit": RESCALE_LIMIT,
        "score_fraction_bits": SCORE_FRACTION_BITS,
        "rotary_fraction_bits": ROTARY_FRACTION_BITS,
        "table": [TABLE_ENTRIES, TABLE_SHIFT],
    }
