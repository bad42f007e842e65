# SPDX-License-Identifier: Apache-2.0
"""Keys and values of the tokens that stand in front of every sequence of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meadow.model.checks import require_array, require_integer, require_range
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8

__all__ = ["QuantisedPrefix"]


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedPrefix:
    """What every sequence has in its cache before its own first token, which is at position P.

    tokens: P of them, at least one, at the positions 0 .. P - 1;
    keys, values: int8 [layers, kv_heads, P, e], -127..127, keys rotated as those of the cache are.

    They are constants of the model, computed when it was compiled: what such tokens do to the
    residual stream need not fit its integers. ValueError for another type or a value out of range.
    """

    tokens: tuple[int, ...]
    keys: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("a prefix must have at least 1 token, not 0")
        for name, rows in (("keys", self.keys), ("values", self.values)):
            require_array(f"{name} of the prefix", rows, np.int8, self.keys.shape)
            require_range(f"{name} of the prefix", rows, -LIMIT_INT8, LIMIT_INT8)

    def __len__(self) -> int:
        """P, its tokens."""
        return len(self.tokens)

    def check(self, description: ModelDescription) -> None:
        """ValueError unless it is one of a model of this description."""
        d = description
        if not d.causal:
            raise ValueError("a model that is not causal must have no prefix: it has no cache")
        for token in self.tokens:
            require_integer("a token of the prefix", token, 0, d.vocabulary - 1)
        if len(self) >= d.max_positions:
            raise ValueError(
                f"a prefix must leave room in the model's {d.max_positions} positions, "
                f"not take {len(self)}"
            )
        shape = (d.layers, d.kv_heads, len(self), d.head_dim)
        require_array("keys of the prefix", self.keys, np.int8, shape)
