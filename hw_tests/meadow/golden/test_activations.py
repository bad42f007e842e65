# SPDX-License-Identifier: Apache-2.0
"""The table of activation functions: every function keeps shape and type, and grows like ReLU."""

from __future__ import annotations

import numpy as np
import pytest

from meadow.golden.activations import ACTIVATIONS, real_type


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_shape_and_type_stay(name: str, kind: type[np.generic]) -> None:
    x = np.array([[-3, 0, 2], [5, -1, 1]], kind)
    y = ACTIVATIONS[name](x)
    assert y.shape == x.shape
    if kind is not np.int16:
        assert y.dtype == real_type(x) == kind


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_far_from_zero_it_is_a_relu(name: str) -> None:
    x = np.array([-40.0, 0.0, 40.0])
    np.testing.assert_allclose(ACTIVATIONS[name](x), [0.0, 0.0, 40.0], atol=1e-12)
