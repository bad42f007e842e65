# SPDX-License-Identifier: Apache-2.0
"""Attention in both dataflows equals scalar arithmetic, whatever is masked and however steep the
scores.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.scalar_attention import ScalarAttention
from hw_tests.seeds import salted
from meadow.golden.tiers.attention import attend, attend_layerwise


def _both(
    seed: int,
    *,
    rows: int,
    keys: int,
    width: int,
    bits: int,
    causal: bool,
    score_shift: int,
    output_bits: int = 8,
) -> None:
    random = np.random.default_rng(salted(seed))
    query = random.integers(-127, 128, (2, rows, 8)).astype(np.int8)
    key, value = (random.integers(-127, 128, (2, keys, 8)).astype(np.int8) for _ in "kv")
    positions = random.integers(-4, keys, rows)
    score = np.array([40000, 50000]), np.array([score_shift, score_shift + 1])
    # The larger of the two gains makes some of the results saturate.
    output = np.array([65535, 32768]), np.array([13, 14]) - (output_bits - 8)
    common = {
        "positions": positions,
        "probability_bits": bits,
        "score_multiplier": score[0],
        "score_shift": score[1],
        "output_multiplier": output[0],
        "output_shift": output[1],
        "output_bits": output_bits,
        "causal": causal,
    }
    online = attend(query, key, value, width=width, **common)
    layerwise = attend_layerwise(query, key, value, **common)
    assert online.dtype == layerwise.dtype == (np.int8 if output_bits == 8 else np.int16)
    for head in range(2):
        for row in range(rows):
            visible = max(0, int(positions[row]) + 1) if causal else keys
            operands = (
                query[head, row].tolist(),
                key[head].tolist(),
                value[head].tolist(),
                visible,
            )
            scalar = ScalarAttention(
                width=width,
                probability_bits=bits,
                score=(int(score[0][head]), int(score[1][head])),
                output=(int(output[0][head]), int(output[1][head])),
                output_bits=output_bits,
            )
            place = (head, row, positions[row])
            assert online[head, row].tolist() == scalar.online(*operands), place
            if visible:
                want = scalar.layerwise(*operands)
                assert layerwise[head, row].tolist() == want, place


@pytest.mark.parametrize("score_shift", [12, 16, 19, 25])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bits", [8, 12])
def test_both_equal_scalar_arithmetic(score_shift: int, causal: bool, bits: int) -> None:
    """Saturated, steep and flat scores; rows that see no key (on-line only), some blocks or all."""
    for seed, keys in enumerate((1, 15, 16, 17, 53)):
        _both(seed, rows=9, keys=keys, width=16, bits=bits, causal=causal, score_shift=score_shift)


@pytest.mark.parametrize("score_shift", [12, 19])
def test_outputs_of_16_bits_equal_scalar_arithmetic(score_shift: int) -> None:
    for seed, keys in enumerate((1, 16, 53)):
        _both(
            seed,
            rows=9,
            keys=keys,
            width=16,
            bits=12,
            causal=True,
            score_shift=score_shift,
            output_bits=16,
        )


def _attend_one(query: list, keys: list, values: list, position: int) -> np.ndarray:
    """Score = q.k / 16 base-2 units, output = mean of V."""
    return attend(
        np.array(query, np.int8),
        np.array(keys, np.int8),
        np.array(values, np.int8),
        positions=np.array([position]),
        width=16,
        probability_bits=12,
        score_multiplier=1 << 15,
        score_shift=11,
        output_multiplier=1 << 15,
        output_shift=14,
        output_bits=8,
    )


def test_row_without_a_key_is_zero() -> None:
    assert _attend_one([[5]], [[5]] * 20, [[100]] * 20, -1).tolist() == [[0]]


def test_masked_keys_change_nothing() -> None:
    """Keys beyond the position, however large their scores, in the same block and in later ones."""
    short = _attend_one([[10]], [[1]] * 5, [[77]] * 5, 4)
    long = _attend_one([[10]], [[1]] * 5 + [[127]] * 40, [[77]] * 5 + [[-127]] * 40, 4)
    assert short.tolist() == long.tolist() == [[77]]


def test_a_far_larger_later_block_outweighs_the_first() -> None:
    """The rescaling shift is limited to 63 and then clears what came before."""
    keys = [[-127]] * 16 + [[127]]
    assert _attend_one([[127]], keys, [[100]] * 16 + [[-50]], 16).tolist() == [[-50]]
