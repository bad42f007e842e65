# SPDX-License-Identifier: Apache-2.0
"""Activation functions as tables."""

from __future__ import annotations

import math

import numpy as np

from meadow.golden.activations import ACTIVATIONS
from meadow.spec.checks import check_choice
from meadow.spec.numerics import TABLE_ENTRIES, TABLE_SHIFT

__all__ = ["activation_table"]

_LARGEST = (1 << 15) - 1


def activation_table(kind: str, input_scale: float, output_scale: float) -> np.ndarray:
    """int16 [TABLE_ENTRIES] of an activation (a name of `ACTIVATIONS`) between these scales.

    Entry i stands for the inputs x of `numerics.table_index(x) == i` and is the function at the
    middle of them, rounded: rint(f(middle * input_scale) / output_scale) within +-32767.

    ValueError for another kind, or scales that are not positive numbers.
    """
    check_choice("an activation", kind, ACTIVATIONS)
    for name, value in (("input_scale", input_scale), ("output_scale", output_scale)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0 and finite, not {value}")
    bucket = 1 << TABLE_SHIFT
    middle = np.arange(TABLE_ENTRIES) * bucket - (1 << 15) + (bucket - 1) / 2
    values = ACTIVATIONS[kind](middle * input_scale) / output_scale
    return np.clip(np.rint(values), -_LARGEST, _LARGEST).astype(np.int16)
