# SPDX-License-Identifier: Apache-2.0
"""Attention of one query row in plain Python on `meadow.spec.numerics`, in both dataflows."""

from __future__ import annotations

from meadow.spec import numerics as scalar

__all__ = ["attend_layerwise_row", "attend_row"]


def attend_row(
    query: list[int],
    keys: list[list[int]],
    values: list[list[int]],
    visible: int,
    *,
    width: int,
    probability_bits: int,
    score: tuple[int, int],
    output: tuple[int, int],
) -> list[int]:
    """One query row that sees keys 0 .. visible-1, block by block as the specification says."""
    maximum, total, mixed = None, 0, [0] * len(values[0])
    for start in range(0, len(keys), width):
        seen = range(start, min(start + width, visible))
        if not seen:
            continue
        scores = [
            scalar.requantise(sum(a * b for a, b in zip(query, keys[j], strict=True)), *score, 16)
            for j in seen
        ]
        block = scalar.block_maximum(max(scores))
        larger = block if maximum is None else max(maximum, block)
        delta = 0 if maximum is None else min(larger - maximum, scalar.RESCALE_LIMIT)
        maximum = larger
        total = scalar.rounding_shift(total, delta)
        mixed = [scalar.rounding_shift(value, delta) for value in mixed]
        for j, z in zip(seen, scores, strict=True):
            p = scalar.probability(z, maximum, probability_bits)
            total += p
            mixed = [o + p * v for o, v in zip(mixed, values[j], strict=True)]
    multiplier, shift = scalar.output_scale(total, *output)
    return [scalar.requantise(value, multiplier, shift, 8) for value in mixed]


def attend_layerwise_row(
    query: list[int],
    keys: list[list[int]],
    values: list[list[int]],
    visible: int,
    *,
    width: int,
    probability_bits: int,
    score: tuple[int, int],
    output: tuple[int, int],
) -> list[int]:
    """One query row of the baseline: softmax over the whole row, then P.V."""
    scores = [
        scalar.requantise(sum(a * b for a, b in zip(query, key, strict=True)), *score, 16)
        for key in keys[:visible]
    ]
    powers, total = scalar.softmax_row(scores, probability_bits)
    mixed = [
        sum(p * value[i] for p, value in zip(powers, values, strict=False))
        for i in range(len(values[0]))
    ]
    scale = scalar.output_scale(total, *output)
    return [scalar.requantise(value, *scale, 8) for value in mixed]
