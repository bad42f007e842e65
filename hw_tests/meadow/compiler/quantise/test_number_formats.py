# SPDX-License-Identifier: Apache-2.0
"""Words with exponents against those of the hardware; steps against all others."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.quantise.number_formats import (
    WORD_RANGE,
    clipped_step,
    rounded_rows,
    rounded_words,
)
from meadow.spec import numerics

RANDOM = np.random.default_rng(salted(12))


def test_words_are_those_of_the_hardware() -> None:
    x = RANDOM.normal(size=(50, 21)) * np.exp(3 * RANDOM.normal(size=(50, 1)))
    step = np.abs(x).max() / (1 << 15)  # a few values saturate
    for row, held in zip(np.rint(x / step).astype(int), rounded_words(x, step, 16), strict=True):
        for start in (0, 16):
            word = np.minimum(row[start : start + 16], (1 << 15) - 1).tolist()
            exponent = numerics.word_exponent(word)
            values = np.array(numerics.word_values(word, exponent)) << exponent
            np.testing.assert_allclose(held[start : start + 16], values * step)


def test_a_word_holds_its_values_to_a_part_of_its_largest() -> None:
    x = RANDOM.normal(size=(500, 64)) * np.exp(RANDOM.normal(size=(500, 1)))
    x[:, 5] *= 30
    step = np.abs(x).max() / WORD_RANGE
    held = rounded_words(x, step, 16)
    words = np.abs(x).reshape(500, 4, 16).max(axis=2)
    bound = words / 120 + step
    assert (np.abs(held - x).reshape(500, 4, 16) <= bound[:, :, None]).all()
    static = np.clip(np.rint(x / (np.abs(x).max() / 127)), -127, 127) * (np.abs(x).max() / 127)
    assert np.square(held - x).mean() < np.square(static - x).mean() / 20


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


def test_rows_have_steps_of_their_own() -> None:
    weight = RANDOM.normal(size=(6, 40)) * np.array([[1e-6], [1], [2], [3], [1e6], [0]])
    held = rounded_rows(weight)
    bound = np.abs(weight).max(axis=1) / 254
    assert (np.abs(held - weight).max(axis=1) <= bound * (1 + 1e-9)).all()
    assert (held[5] == 0).all()
    assert np.abs(held).max(axis=1) == pytest.approx(np.abs(weight).max(axis=1))
