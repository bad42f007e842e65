# SPDX-License-Identifier: Apache-2.0
"""Attention of one query row in plain Python on `meadow.spec.numerics`, in both dataflows."""

from __future__ import annotations

from dataclasses import dataclass

from meadow.spec import numerics as scalar

__all__ = ["ScalarAttention"]

Rows = list[list[int]]


@dataclass(frozen=True)
class ScalarAttention:
    """The arithmetic of one head, for one query row at a time.

    width : keys of a block, W. probability_bits : of a probability.
    score, output : multiplier and shift that bring products to scores, and the mix to results.
    output_bits : of results.
    """

    width: int
    probability_bits: int
    score: tuple[int, int]
    output: tuple[int, int]
    output_bits: int

    def online(self, query: list[int], keys: Rows, values: Rows, visible: int) -> list[int]:
        """A row that sees keys 0 .. visible-1, block by block as the specification says."""
        maximum, total, accumulators = None, 0, [0] * len(values[0])
        for start in range(0, len(keys), self.width):
            seen = range(start, min(start + self.width, visible))
            if not seen:
                continue
            scores = self._scores(query, [keys[j] for j in seen])
            block = scalar.block_maximum(max(scores))
            larger = block if maximum is None else max(maximum, block)
            delta = 0 if maximum is None else min(larger - maximum, scalar.RESCALE_LIMIT)
            maximum = larger
            total = scalar.rounding_shift(total, delta)
            accumulators = [scalar.rounding_shift(value, delta) for value in accumulators]
            for j, z in zip(seen, scores, strict=True):
                p = scalar.probability(z, maximum, self.probability_bits)
                total += p
                accumulators = [o + p * v for o, v in zip(accumulators, values[j], strict=True)]
        return self._result(accumulators, total)

    def layerwise(self, query: list[int], keys: Rows, values: Rows, visible: int) -> list[int]:
        """A row of the baseline: softmax over the whole row, then P.V."""
        powers, total = scalar.softmax_row(
            self._scores(query, keys[:visible]), self.probability_bits
        )
        accumulators = [
            sum(p * value[i] for p, value in zip(powers, values, strict=False))
            for i in range(len(values[0]))
        ]
        return self._result(accumulators, total)

    def _scores(self, query: list[int], keys: Rows) -> list[int]:
        return [
            scalar.requantise(sum(a * b for a, b in zip(query, key, strict=True)), *self.score, 16)
            for key in keys
        ]

    def _result(self, accumulators: list[int], total: int) -> list[int]:
        scale = scalar.output_scale(total, *self.output)
        return [scalar.requantise(value, *scale, self.output_bits) for value in accumulators]
