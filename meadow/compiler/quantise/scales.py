# SPDX-License-Identifier: Apache-2.0
"""Real scales as the integers of commands: multipliers, shifts and 16-bit values."""

from __future__ import annotations

import math

import numpy as np

from meadow.golden.tiers.float_operators import rotary_angles
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import MAX_SHIFT, MULTIPLIER_BITS, ROTARY_FRACTION_BITS

__all__ = [
    "LIMIT_INT16",
    "fitting_shift",
    "output_parts",
    "rotary_table",
    "scale_parts",
    "to_int16",
]

LIMIT_INT16 = (1 << 15) - 1

# Largest output_shift of an ATTEND command: with it the shift of output_scale stays within 47 for
# every softmax sum of up to 31 bits.
_OUTPUT_SHIFT_LIMIT = MAX_SHIFT - 31


def scale_parts(value: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier uint16 and shift uint8 with multiplier * 2^-shift ~ value, element by element.

    The multiplier is in [2^15, 2^16), a relative error of at most 2^-16. Below 2^-32 the shift
    stays 47 and the multiplier gets shorter: what is lost is less than a 36-bit accumulator could
    bring to the result. 0 is multiplier 0, shift 1. ValueError, naming `name` and the value, if
    it is negative, not finite or too large.
    """
    value = np.asarray(value, np.float64)
    limit = (1 << MULTIPLIER_BITS) - 1
    wrong = ~(np.isfinite(value) & (value >= 0) & (np.rint(value * 2) <= limit))
    if wrong.any():
        raise ValueError(
            f"the requantisation scale of {name} must be finite and at most {limit / 2} "
            f"(shift 1..{MAX_SHIFT}), not {value[wrong].flat[0]}"
        )
    exponent = np.frexp(value)[1]
    shift = np.clip(MULTIPLIER_BITS - exponent, 1, MAX_SHIFT)
    multiplier = np.rint(np.ldexp(value, shift))
    carried = multiplier > limit
    shift = np.where(carried, shift - 1, shift)
    multiplier = np.where(carried, np.rint(np.ldexp(value, shift)), multiplier)
    shift = np.where(multiplier == 0, 1, shift)
    return multiplier.astype(np.uint16), shift.astype(np.uint8)


def fitting_shift(largest: float) -> int:
    """Largest s with largest * 2^s within signed 16 bits; a large number for 0."""
    return 64 if largest == 0 else math.floor(math.log2(LIMIT_INT16 / largest))


def output_parts(ratio: np.ndarray, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """output_multiplier and output_shift with multiplier * 2^-(shift+1) = ratio, per KV head."""
    multipliers, shifts = [], []
    for value in ratio.tolist():
        shift = min(_OUTPUT_SHIFT_LIMIT, MULTIPLIER_BITS - 1 - math.frexp(value)[1])
        multiplier = round(math.ldexp(value, shift + 1))
        if multiplier == 1 << MULTIPLIER_BITS:
            multiplier, shift = multiplier // 2, shift - 1
        if not -64 <= shift:
            raise ValueError(f"the output scale of {name} must be below 2^80, not {value}")
        multipliers.append(multiplier)
        shifts.append(shift)
    return tuple(multipliers), tuple(shifts)


def to_int16(value: np.ndarray) -> np.ndarray:
    """Real units rounded to the nearest int16, the ends of the range beyond it."""
    return np.clip(np.rint(value), -LIMIT_INT16 - 1, LIMIT_INT16).astype(np.int16)


def rotary_table(description: ModelDescription) -> np.ndarray:
    """Cosine and sine of every position and pair in Q14, int16 [max_positions, head_dim/2, 2]."""
    d = description
    positions = np.arange(d.max_positions)
    angles = rotary_angles(positions, d.head_dim, d.rotary_base, d.rotary_divisors)
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return to_int16(turns * 2**ROTARY_FRACTION_BITS)
