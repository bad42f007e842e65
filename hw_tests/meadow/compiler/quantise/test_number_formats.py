# SPDX-License-Identifier: Apache-2.0
"""The range of words is that of the hardware; a step is the best of all."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.quantise.number_formats import WORD_RANGE, clipped_step
from meadow.spec import numerics

RANDOM = np.random.default_rng(salted(12))


def test_the_range_is_the_largest_value_of_a_word() -> None:
    for value in (WORD_RANGE, -WORD_RANGE, WORD_RANGE + 300):
        exponent = numerics.word_exponent([value, 3])
        assert exponent == numerics.LARGEST_EXPONENT
        largest = numerics.word_values([value, 3], exponent)[0] << exponent
        assert abs(largest) == WORD_RANGE


def test_a_clipped_step_is_the_best_of_its_kind() -> None:
    samples = RANDOM.normal(size=100_000)

    def error(step: float) -> float:
        return np.square(np.clip(np.rint(samples / step), -127, 127) * step - samples).sum()

    found, largest = clipped_step(samples), np.abs(samples).max() / 127
    assert found < 0.98 * largest
    assert error(found) <= min(error(largest * share) for share in (0.3, 0.5, 0.7, 0.9, 1.0))
    assert clipped_step(np.zeros(4)) == 1
    even = np.arange(-127.0, 128.0)
    assert clipped_step(even) == pytest.approx(1)
    np.testing.assert_allclose(clipped_step(8 * samples), 8 * found)
