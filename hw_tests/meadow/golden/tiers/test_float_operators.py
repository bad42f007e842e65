# SPDX-License-Identifier: Apache-2.0
"""The operators in float: formulas, large values, masks and groups of heads."""

from __future__ import annotations

import numpy as np

from hw_tests.seeds import salted
from meadow.golden.tiers.float_operators import attention, layer_norm, softmax


def test_layer_norm_formula() -> None:
    x = np.array([[1.0, 2.0, 3.0, 6.0]], np.float32)
    expected = (x - 3) / np.sqrt(3.5 + 1e-5) * 2 + 1
    ones = np.ones(4, np.float32)
    np.testing.assert_allclose(layer_norm(x, 2 * ones, ones), expected, rtol=1e-6)


def test_softmax_of_large_values_and_mask() -> None:
    found = softmax(np.array([1000.0, 1000.0, -np.inf]))
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.0])


def test_attention_is_causal_and_groups_heads() -> None:
    generator = np.random.default_rng(salted(5))
    q, k, v = (generator.normal(size=(h, 6, 4)).astype(np.float32) for h in (4, 2, 2))
    found = attention(q[:, -3:], k, v).reshape(3, 4, 4)
    for row in range(3):
        for head in range(4):
            keys, values = k[head // 2, : row + 4], v[head // 2, : row + 4]
            weights = softmax(keys @ q[head, 3 + row])
            np.testing.assert_allclose(found[row, head], weights @ values, atol=1e-6)
