# SPDX-License-Identifier: Apache-2.0
"""Attention of one layer in the hardware's two orders, bit for bit: TPHS and layer by layer.

Shape letters: n query rows, L keys, e elements per head, W tile width.
"""

from __future__ import annotations

import numpy as np

from meadow.golden.numerics import (
    block_maximum,
    output_scale,
    probability,
    requantise,
    rounding_shift,
    softmax_rows,
)
from meadow.spec.numerics import RESCALE_LIMIT

__all__ = ["attend", "attend_layerwise", "mix_values", "scores16"]

# Below any score and any block maximum: what a masked key stands for.
_MASKED_SCORE = -(1 << 20)
_NO_MAXIMUM = int(block_maximum(np.array(_MASKED_SCORE)))


def attend(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    *,
    positions: np.ndarray,
    width: int,
    probability_bits: int,
    score_multiplier: np.ndarray | int,
    score_shift: np.ndarray | int,
    output_multiplier: np.ndarray | int,
    output_shift: np.ndarray | int,
    output_bits: int,
    causal: bool = True,
) -> np.ndarray:
    """An ATTEND: online base-2 softmax over key blocks in ascending order.

    query: int8 [..., n, e]; keys, values: int8 [..., L, e], row j is absolute position j;
    positions: [n], absolute position of each query row, not used unless causal;
    width: W, keys per block, blocks start at multiples of W;
    output_bits: 16 where heads fill words, 8 for narrower ones;
    multipliers and shifts: numbers, or arrays of the leading shape (...), usually [kv_heads].

    Returns int16 or int8 [..., n, e]. Per row, with the block's scores z = rq16(q.k) of unmasked
    keys:

        M' = max(M, ceil(max z / 256)), delta = min(M' - M, 63), 0 for the first unmasked block
        sum = rounding_shift(sum, delta) + sum of p,  p = probability(z, M')
        O = rounding_shift(O, delta) + p.V
        out = requantise(O, *output_scale(sum), output_bits)

    A block without an unmasked key changes nothing; a row without any gives zeros.
    """
    length, rows = keys.shape[-2], query.shape[-2]
    blocks = -(-length // width)
    padded = blocks * width
    lead = query.shape[:-2]

    scores = np.full((*lead, rows, padded), _MASKED_SCORE, np.int64)
    scores[..., :length] = scores16(query, keys, score_multiplier, score_shift)
    if causal:
        scores[..., np.arange(padded) > np.asarray(positions)[:, None]] = _MASKED_SCORE
    scores = scores.reshape(*lead, rows, blocks, width)

    # The running maximum needs only the blocks' maxima, so all probabilities are taken at once;
    # masked scores are so low that their probability is 0 against any maximum.
    maximum = np.maximum.accumulate(block_maximum(scores.max(axis=-1)), axis=-1)
    previous = np.concatenate([maximum[..., :1], maximum[..., :-1]], axis=-1)
    delta = np.minimum(maximum - previous, RESCALE_LIMIT)
    delta[previous == _NO_MAXIMUM] = 0
    reference = np.where(maximum == _NO_MAXIMUM, 0, maximum)
    power = probability(scores, reference[..., None], probability_bits)

    # p.V within a block stays below 4095 * 127 * 256 < 2^53: float64 is exact.
    operand = np.zeros((*lead, padded, values.shape[-1]))
    operand[..., :length, :] = values
    operand = operand.reshape(*lead, blocks, width, -1)
    accumulators = (np.swapaxes(power, -2, -3).astype(np.float64) @ operand).astype(np.int64)
    sums = power.sum(axis=-1)

    total = np.zeros((*lead, rows), np.int64)
    output = np.zeros((*lead, rows, values.shape[-1]), np.int64)
    for block in range(blocks):
        step = delta[..., block]
        if step.any():
            total = rounding_shift(total, step)
            output = rounding_shift(output, step[..., None])
        total += sums[..., block]
        output += accumulators[..., block, :, :]
    return _divided(output, total, output_multiplier, output_shift, output_bits)


def _divided(
    accumulators: np.ndarray,
    total: np.ndarray,
    multiplier: np.ndarray | int,
    shift: np.ndarray | int,
    bits: int,
) -> np.ndarray:
    """requantise(mixed, *output_scale(total), bits), int8 or int16 [..., n, e], for total
    [..., n].
    """
    scale, amount = output_scale(
        total, np.asarray(multiplier)[..., None], np.asarray(shift)[..., None]
    )
    output = requantise(accumulators, scale[..., None], amount[..., None], bits)
    return output.astype(np.int8 if bits == 8 else np.int16)


def scores16(
    query: np.ndarray,
    keys: np.ndarray,
    multiplier: np.ndarray | int,
    shift: np.ndarray | int,
) -> np.ndarray:
    """Base-2 scores rq16(q.k) with 8 fraction bits: int8 [..., n, e], [..., L, e] -> [..., n, L].

    multiplier and shift: numbers, or arrays of the leading shape (...). Nothing is masked.
    """
    # q.k stays below 127 * 127 * 512 < 2^24: float32 is exact.
    products = query.astype(np.float32) @ np.swapaxes(keys, -1, -2).astype(np.float32)
    return requantise(products.astype(np.int64), _per_head(multiplier), _per_head(shift), 16)


def mix_values(
    power: np.ndarray,
    total: np.ndarray,
    values: np.ndarray,
    multiplier: np.ndarray | int,
    shift: np.ndarray | int,
    bits: int,
) -> np.ndarray:
    """requantise(sum p.V, *output_scale(total), bits) of whole rows.

    power: probabilities [..., n, L]; total: [..., n], their sums; values: int8 [..., L, e];
    multiplier and shift: numbers, or arrays of the leading shape (...). Returns int8 or int16
    [..., n, e].
    """
    # p.V over all keys stays below 4095 * 127 * 2^19 < 2^53: float64 is exact.
    accumulators = (power.astype(np.float64) @ values.astype(np.float64)).astype(np.int64)
    return _divided(accumulators, total, multiplier, shift, bits)


def attend_layerwise(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    *,
    positions: np.ndarray,
    probability_bits: int,
    score_multiplier: np.ndarray | int,
    score_shift: np.ndarray | int,
    output_multiplier: np.ndarray | int,
    output_shift: np.ndarray | int,
    output_bits: int,
    causal: bool = True,
) -> np.ndarray:
    """The baseline's ATTEND SCORES, SOFTMAX and ATTEND VALUES: one maximum and total for the row.

    Arguments and result as those of `attend`; every row sees a key.
    """
    scores = scores16(query, keys, score_multiplier, score_shift)
    visible = np.ones((query.shape[-2], keys.shape[-2]), bool)
    if causal:
        visible = np.arange(keys.shape[-2]) <= np.asarray(positions)[:, None]
    power, total = softmax_rows(scores, visible, probability_bits)
    return mix_values(power, total, values, output_multiplier, output_shift, output_bits)


def _per_head(value: np.ndarray | int) -> np.ndarray:
    """A number or an array [...] as one that broadcasts against [..., n, L]."""
    return np.asarray(value)[..., None, None]
