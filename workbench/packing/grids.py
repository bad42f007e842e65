# SPDX-License-Identifier: Apache-2.0
"""Integer grids for weights, as reports on packing compare them: symmetric, rounded to the nearest
level.

A compiled model's own grids come out of `meadow.compiler.quantise.quantise`, which also moves
factors between layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meadow.spec.numerics import LIMIT_INT8

__all__ = ["GRIDS", "Grid", "grid_integers"]


@dataclass(frozen=True)
class Grid:
    """bits: 2..8, `levels` on each side of 0; per_channel: a step per output channel, else one per
    matrix.

    ValueError for bits out of range.
    """

    bits: int
    per_channel: bool

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"bits of a grid must be 2..8, not {self.bits}")

    @property
    def levels(self) -> int:
        """Largest magnitude: 2**(bits-1) - 1."""
        return LIMIT_INT8 >> (8 - self.bits)


GRIDS: Mapping[str, Grid] = {
    "w8-tensor": Grid(8, per_channel=False),
    "w8-channel": Grid(8, per_channel=True),
    "w6-channel": Grid(6, per_channel=True),
    "w4-channel": Grid(4, per_channel=True),
}
"""The grids that reports name."""


def grid_integers(weight: np.ndarray, grid: Grid) -> np.ndarray:
    """Integers int8 [out, in] of real weights [out, in]; the largest of a step's weights is
    `levels` or its negative.

    A channel or matrix of zeros stays zero. ValueError for another shape, an empty matrix or values
    that are not finite.
    """
    if weight.ndim != 2 or not weight.size:
        raise ValueError(
            f"a weight must be a matrix [out, in] that is not empty, not {list(weight.shape)}"
        )
    if not np.isfinite(weight).all():
        raise ValueError("a weight must hold finite values only")
    magnitude = np.abs(weight)
    largest = magnitude.max(axis=1, keepdims=True) if grid.per_channel else magnitude.max()
    # In double precision, so that weight / step of the largest is its level and not above.
    step = np.asarray(largest, np.float64) / grid.levels
    scaled = np.rint(weight / np.where(step == 0, 1.0, step))
    return np.clip(scaled, -grid.levels, grid.levels).astype(np.int8)
