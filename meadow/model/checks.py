# SPDX-License-Identifier: Apache-2.0
"""Checks of the parts of a quantised model: types, shapes, ranges, and which parts there are."""

from __future__ import annotations

import numpy as np

__all__ = [
    "require_array",
    "require_integer",
    "require_matrix",
    "require_presence",
    "require_range",
]


def require_array(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> None:
    """ValueError unless an array has this type and shape."""
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} {list(shape)}, not {array.dtype} {list(array.shape)}"
        )


def require_range(name: str, array: np.ndarray, low: int, high: int) -> None:
    """ValueError unless all values of an array lie in low..high."""
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"{name} must be within {low}..{high}, not {array.min()}..{array.max()}")


def require_integer(name: str, value: int, low: int, high: int) -> None:
    """ValueError unless a value is an integer in low..high."""
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer in {low}..{high}, not {value!r}")


def require_matrix(name: str, weight: np.ndarray, outputs: int, inputs: int) -> None:
    """ValueError unless a weight has this shape."""
    if weight.shape != (outputs, inputs):
        raise ValueError(
            f"{name} must have the shape [{outputs}, {inputs}], not {list(weight.shape)}"
        )


def require_presence(name: str, value: object, present: bool) -> None:
    """ValueError unless a part is there where the model has it."""
    if (value is not None) != present:
        rule = "given" if present else "None"
        raise ValueError(f"{name} must be {rule} for this model, not {value!r:.40}")
