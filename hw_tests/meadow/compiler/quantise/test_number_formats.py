# SPDX-License-Identifier: Apache-2.0
"""Words with exponents against their rule, word by word; steps against all others."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.quantise.number_formats import (
    WORD_RANGE,
    clipped_step,
    rounded_rows,
    rounded_words,
    word_exponents,
)

RANDOM = np.random.default_rng(salted(12))


def by_rule(word: list[int]) -> tuple[list[int], int]:
    largest = max(max(value, ~value) for value in word)
    exponent = min(max(largest.bit_length() - 7, 0), 7)
    half = 1 << (exponent - 1) if exponent else 0
    return [min(max((value + half) >> exponent, -127), 127) for value in word], exponent


@pytest.mark.parametrize("width", [1, 4, 16])
@pytest.mark.parametrize("channels", [16, 21])
def test_words_follow_the_rule(width: int, channels: int) -> None:
    size = RANDOM.integers(0, 16, (200, 1))
    values = (RANDOM.integers(-(1 << 15), 1 << 15, (200, channels)) >> size).astype(np.int32)
    values[0], values[1], values[2] = 0, -(1 << 15), (1 << 15) - 1
    values[3], values[4], values[5] = 127, 128, -128
    mantissas, exponents = word_exponents(values, width)
    assert mantissas.shape == values.shape and exponents.shape == (200, -(-channels // width))
    for row in range(200):
        for word in range(exponents.shape[1]):
            part = slice(word * width, min((word + 1) * width, channels))
            expected = by_rule(values[row, part].tolist())
            found = mantissas[row, part].tolist(), int(exponents[row, word])
            # A word that is filled up has zeros, whose rule is that of 0 and of ~0.
            assert found == expected
    if width < 16:
        assert set(np.unique(exponents)) >= {0, 1, 2, 3, 4, 5, 6, 7}


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
