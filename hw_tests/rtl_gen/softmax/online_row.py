# SPDX-License-Identifier: Apache-2.0
"""Online softmax of one row and attention built on it, in the specification's scalar arithmetic."""

from __future__ import annotations

import numpy as np

from meadow.spec.numerics import (
    RESCALE_LIMIT,
    block_maximum,
    output_scale,
    probability,
    requantise,
    rounding_shift,
)

__all__ = ["AttentionRow", "OnlineRow"]


class OnlineRow:
    """Running maximum and sum of a row."""

    def __init__(self, probability_bits: int) -> None:
        self.bits = probability_bits
        self.maximum: int | None = None
        self.total = 0

    def block(self, scores: list[int]) -> tuple[int, list[int]]:
        """(rescale shift, probabilities) of the unmasked scores of one block."""
        if not scores:
            return 0, []
        old, new = self.maximum, block_maximum(max(scores))
        new = new if old is None else max(new, old)
        delta = 0 if old is None else min(new - old, RESCALE_LIMIT)
        result = [probability(score, new, self.bits) for score in scores]
        self.maximum = new
        self.total = rounding_shift(self.total, delta) + sum(result)
        return delta, result


class AttentionRow:
    """Attention of one row over key blocks; score: multiplier and shift of a score."""

    def __init__(self, probability_bits: int, score: tuple[int, int]) -> None:
        self.softmax, self.score = OnlineRow(probability_bits), score
        self.output: list[int] = []

    def block(self, query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        """Take in the unmasked keys of a block; keys and values [keys, head dim]."""
        dots = (keys.astype(np.int64) @ query.astype(np.int64)).tolist()
        delta, p = self.softmax.block([requantise(dot, *self.score, 16) for dot in dots])
        mixed = (np.array(p, np.int64) @ values.astype(np.int64)).tolist()
        old = self.output or [0] * len(mixed)
        self.output = [rounding_shift(o, delta) + v for o, v in zip(old, mixed, strict=True)]

    def result(self, multiplier: int, shift: int, bits: int = 8) -> list[int]:
        """The output row, saturated to `bits`."""
        scale = output_scale(self.softmax.total, multiplier, shift)
        return [requantise(value, *scale, bits) for value in self.output]
