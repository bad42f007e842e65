# SPDX-License-Identifier: Apache-2.0
"""Keys and values of the positions that a model has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from meadow.model.prefix import QuantisedPrefix
from meadow.spec.model import ModelDescription

__all__ = ["Cache", "FloatCache", "KeyValueCache"]


class Cache:
    """Keys and values of the positions seen so far, of all layers.

    keys, values : ``[layers, kv_heads, capacity, head_dim]`` of the type ``dtype``, zeros from row
    ``length`` on. ``capacity`` defaults to the model's ``max_positions``; ValueError if it is none
    of 1 .. ``max_positions``.
    """

    def __init__(
        self, description: ModelDescription, dtype: DTypeLike, *, capacity: int | None = None
    ) -> None:
        capacity = description.max_positions if capacity is None else capacity
        if not 1 <= capacity <= description.max_positions:
            raise ValueError(
                f"a cache must hold 1 to {description.max_positions} positions, not {capacity}"
            )
        shape = (description.layers, description.kv_heads, capacity, description.head_dim)
        self.keys = np.zeros(shape, dtype)
        self.values = np.zeros(shape, dtype)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.keys.shape[2]


class FloatCache(Cache):
    """Keys and values in float; with ``dtype`` that of the model."""

    def __init__(
        self,
        description: ModelDescription,
        *,
        capacity: int | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        super().__init__(description, dtype, capacity=capacity)


class KeyValueCache(Cache):
    """INT8 keys and values; with ``prefix`` the first rows are those of it already."""

    def __init__(
        self,
        description: ModelDescription,
        *,
        capacity: int | None = None,
        prefix: QuantisedPrefix | None = None,
    ) -> None:
        super().__init__(description, np.int8, capacity=capacity)
        if prefix is not None:
            self.length = len(prefix)
            self.keys[:, :, : self.length] = prefix.keys
            self.values[:, :, : self.length] = prefix.values

    def check_behind(self, start: int) -> None:
        """ValueError if the next token would stand before position ``start``."""
        if self.length < start:
            raise ValueError(
                f"tokens must start behind the prefix of {start}, not at position {self.length}"
            )
