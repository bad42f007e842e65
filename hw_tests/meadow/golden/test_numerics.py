# SPDX-License-Identifier: Apache-2.0
"""Every vectorised function equals the scalar definition of `meadow.spec.numerics`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_tests.seeds import salted
from meadow.golden import numerics as vector
from meadow.spec import numerics as scalar

_VALUE_36 = st.integers(-(1 << 35), (1 << 35) - 1)
_MULTIPLIER = st.integers(0, 65535)
_SHIFT = st.integers(1, 47)
_BITS = st.sampled_from([8, 16, 32])
_EXTREME_36 = [0, 1, -1, 127, -128, 1 << 31, -(1 << 31), (1 << 35) - 1, -(1 << 35)]


def _array(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), np.int64)


@given(st.lists(st.integers(-(1 << 60), 1 << 60), min_size=1), _BITS)
def test_saturate(values: list[int], bits: int) -> None:
    got = vector.saturate(_array(values), bits)
    assert got.tolist() == [scalar.saturate(value, bits) for value in values]


def test_saturate_is_symmetric_at_8_bits_only() -> None:
    assert vector.saturate(_array([-1000, 1000]), 8).tolist() == [-127, 127]
    assert vector.saturate(_array([-(1 << 20), 1 << 20]), 16).tolist() == [-32768, 32767]


@given(st.lists(st.tuples(st.integers(-(1 << 52), 1 << 52), st.integers(0, 63)), min_size=1))
def test_rounding_shift(pairs: list[tuple[int, int]]) -> None:
    values, shifts = zip(*pairs, strict=True)
    got = vector.rounding_shift(_array(values), _array(shifts))
    assert got.tolist() == [scalar.rounding_shift(v, s) for v, s in pairs]


@pytest.mark.parametrize("shift", [0, 1, 35, 36, 62, 63])
def test_rounding_shift_at_extremes(shift: int) -> None:
    got = vector.rounding_shift(_array(_EXTREME_36), shift)
    assert got.tolist() == [scalar.rounding_shift(value, shift) for value in _EXTREME_36]


@given(st.lists(st.tuples(_VALUE_36, _MULTIPLIER, _SHIFT), min_size=1), _BITS)
def test_requantise_per_element(triples: list[tuple[int, int, int]], bits: int) -> None:
    values, multipliers, shifts = (_array(triple[i] for triple in triples) for i in range(3))
    got = vector.requantise(values, multipliers, shifts, bits)
    assert got.tolist() == [scalar.requantise(*triple, bits) for triple in triples]


@pytest.mark.parametrize("multiplier", [0, 1, 32768, 65535])
@pytest.mark.parametrize("shift", [1, 2, 31, 46, 47])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_requantise_at_extremes(multiplier: int, shift: int, bits: int) -> None:
    got = vector.requantise(_array(_EXTREME_36), multiplier, shift, bits)
    want = [scalar.requantise(value, multiplier, shift, bits) for value in _EXTREME_36]
    assert got.tolist() == want


def test_requantise_takes_the_types_of_a_quantised_linear() -> None:
    """uint16 times int64 must not wrap, and a shift of uint8 must not limit the result."""
    values = np.array([[1 << 30, -(1 << 30)], [12345, -3]], np.int64)
    multiplier, shift = np.array([65535, 40000], np.uint16), np.array([47, 17], np.uint8)
    got = vector.requantise(values, multiplier, shift, 16)
    for row in range(2):
        for channel in range(2):
            want = scalar.requantise(
                int(values[row, channel]), int(multiplier[channel]), int(shift[channel]), 16
            )
            assert got[row, channel] == want


def test_requantise_leaves_its_argument() -> None:
    values = _array([5, 6])
    vector.requantise(values, 3, 1, 8)
    assert values.tolist() == [5, 6]


@given(st.lists(st.integers(0, (1 << 63) - 1), min_size=1))
def test_bit_length(values: list[int]) -> None:
    assert vector.bit_length(_array(values)).tolist() == [value.bit_length() for value in values]


def test_bit_length_around_powers_of_two() -> None:
    values = [max(0, (1 << power) + step) for power in range(63) for step in (-1, 0, 1)]
    assert vector.bit_length(_array(values)).tolist() == [value.bit_length() for value in values]


def test_block_maximum_of_every_score() -> None:
    scores = np.arange(-(1 << 15), 1 << 15)
    want = [scalar.block_maximum(score) for score in scores.tolist()]
    assert vector.block_maximum(scores).tolist() == want


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_probability_of_every_distance(bits: int) -> None:
    maximum = 128
    scores = np.arange(-(1 << 15), maximum * 256 + 1)
    want = [scalar.probability(score, maximum, bits) for score in scores.tolist()]
    assert vector.probability(scores, np.array(maximum), bits).tolist() == want


@given(st.lists(st.tuples(st.integers(-(1 << 15), (1 << 15) - 1), st.integers(0, 256)), min_size=1))
def test_probability_against_any_maximum(pairs: list[tuple[int, int]]) -> None:
    scores = [score for score, _ in pairs]
    maxima = [min(128, scalar.block_maximum(score) + above) for score, above in pairs]
    got = vector.probability(_array(scores), _array(maxima), 12)
    want = [scalar.probability(z, m, 12) for z, m in zip(scores, maxima, strict=True)]
    assert got.tolist() == want


@pytest.mark.parametrize("bits", [4, 12])
@pytest.mark.parametrize("spread", [1, 300, 1 << 15])
def test_softmax_rows(bits: int, spread: int) -> None:
    random = np.random.default_rng(salted(spread))
    scores = random.integers(-spread, spread, (2, 7, 40)).astype(np.int16)
    visible = random.random((7, 40)) < np.linspace(0, 1, 7)[:, None]
    visible[:, 3] = True
    row, total = vector.softmax_rows(scores, visible, bits)
    assert not row[:, ~visible].any()
    for head in range(2):
        for index in range(7):
            seen = scores[head, index, visible[index]].tolist()
            want = scalar.softmax_row(seen, bits)
            assert (row[head, index, visible[index]].tolist(), total[head, index]) == want


def test_table_index_of_every_input() -> None:
    values = np.arange(-(1 << 15), 1 << 15)
    want = [scalar.table_index(value) for value in values.tolist()]
    assert vector.table_index(values.astype(np.int16)).tolist() == want


_VALUE_16 = st.integers(-(1 << 15), (1 << 15) - 1)


@given(
    st.lists(st.tuples(_VALUE_16, _VALUE_16, _VALUE_16, _VALUE_16), min_size=1), st.integers(1, 31)
)
def test_rotate(values: list[tuple[int, int, int, int]], shift: int) -> None:
    x, y, cosine, sine = (np.array([v[i] for v in values], np.int16) for i in range(4))
    got = vector.rotate(x, y, cosine, sine, shift)
    pairs = list(zip(got[0].tolist(), got[1].tolist(), strict=True))
    assert pairs == [scalar.rotate(*value, shift) for value in values]


@given(st.lists(st.tuples(st.integers(-127, 127), _VALUE_16), min_size=1), st.integers(1, 31))
def test_gate(values: list[tuple[int, int]], shift: int) -> None:
    activated = np.array([a for a, _ in values], np.int8)
    got = vector.gate(activated, np.array([b for _, b in values], np.int16), shift)
    assert got.tolist() == [scalar.gate(*value, shift) for value in values]


@given(st.lists(st.integers(0, (1 << 36) - 1), min_size=1), _MULTIPLIER, st.integers(-64, 63))
def test_reciprocal_and_output_scale(totals: list[int], multiplier: int, shift: int) -> None:
    quotient, length = vector.reciprocal(_array(totals))
    pairs = list(zip(quotient.tolist(), length.tolist(), strict=True))
    assert pairs == [scalar.reciprocal(total) for total in totals]
    scale, amount = vector.output_scale(_array(totals), multiplier, shift)
    pairs = list(zip(scale.tolist(), amount.tolist(), strict=True))
    assert pairs == [scalar.output_scale(total, multiplier, shift) for total in totals]


def test_reciprocal_around_powers_of_two() -> None:
    totals = [max(0, (1 << power) + step) for power in range(36) for step in (-1, 0, 1)]
    quotient, length = vector.reciprocal(_array(totals))
    pairs = list(zip(quotient.tolist(), length.tolist(), strict=True))
    assert pairs == [scalar.reciprocal(total) for total in totals]


@given(st.lists(st.integers(1, (1 << 62) - 1), min_size=1))
def test_rsqrt(values: list[int]) -> None:
    root, half = vector.rsqrt(_array(values))
    pairs = list(zip(root.tolist(), half.tolist(), strict=True))
    assert pairs == [scalar.rsqrt(value) for value in values]


def test_rsqrt_around_powers_of_two_and_at_small_values() -> None:
    values = list(range(1, 3000))
    values += [(1 << power) + step for power in range(12, 62) for step in (-1, 0, 1)]
    values.append((1 << 62) - 1)
    root, half = vector.rsqrt(_array(values))
    pairs = list(zip(root.tolist(), half.tolist(), strict=True))
    assert pairs == [scalar.rsqrt(value) for value in values]


_WORDS = [
    [0] * 8,  # nothing
    [127, -127, 5, 0, 1, -1, 2, 3],
    [127, -128, 5, 0, 1, -1, 2, 3],  # the last that needs no exponent, and it saturates
    [128, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, -129, 0, 0, 0, 0, 0],
    [16255, -16256, 64, -64, 63, 8127, 8128, -8128],
    [16256, 16257, 16319, 16320, -16320, 16383, -16384, 0],  # saturation at exponent 7
    [32767, -32768, 1, -1, 191, 192, -192, -193],
    [3, -2, 1, 32767, 0, 1, 2, 3],  # one outlier
]


@given(st.lists(st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=4, max_size=4)))
def test_word_exponent_and_values(rows: list[list[int]]) -> None:
    values = np.array(rows, np.int16).reshape(-1, 4)
    exponents = vector.word_exponent(values)
    assert exponents.tolist() == [scalar.word_exponent(row) for row in rows]
    got = vector.word_values(values, exponents[:, None])
    want = [scalar.word_values(row, scalar.word_exponent(row)) for row in rows]
    assert got.tolist() == want


@pytest.mark.parametrize("word", _WORDS)
def test_words_at_their_edges(word: list[int]) -> None:
    exponent = scalar.word_exponent(word)
    values, exponents = vector.words(np.array([word], np.int16), 8)
    assert (values.dtype, exponents.dtype) == (np.int8, np.uint8)
    assert exponents.tolist() == [[exponent]]
    assert values[0].tolist() == scalar.word_values(word, exponent)
    numbers = vector.word_numbers(values, exponents, 8)
    assert numbers.dtype == np.int16
    assert numbers[0].tolist() == [value << exponent for value in values[0].tolist()]


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 40, 48])
def test_the_last_word_of_a_row_is_filled_up_with_zeros(channels: int) -> None:
    random = np.random.default_rng(salted(channels))
    scale = random.integers(0, 16, (7, channels))
    rows = random.integers(-(1 << 15), 1 << 15, (7, channels)) >> scale
    values, exponents = vector.words(rows.astype(np.int16), 16)
    numbers = vector.word_numbers(values, exponents, 16)
    assert exponents.shape == (7, -(-channels // 16)) and numbers.shape == rows.shape
    for row in range(7):
        for word, start in enumerate(range(0, channels, 16)):
            part = rows[row, start : start + 16].tolist()
            exponent = scalar.word_exponent(part + [0] * (16 - len(part)))
            assert exponents[row, word] == exponent == scalar.word_exponent(part)
            assert values[row, start : start + 16].tolist() == scalar.word_values(part, exponent)


def test_no_rows_give_no_words() -> None:
    values, exponents = vector.words(np.zeros((0, 40), np.int16), 16)
    assert values.shape == (0, 40) and exponents.shape == (0, 3)


def _both_norms(rows: np.ndarray, gain: np.ndarray, offset: np.ndarray, **fields: Any) -> None:
    got = vector.layer_norm(rows, gain, offset, **fields)
    for row, result in zip(rows.tolist(), got.tolist(), strict=True):
        want = scalar.layer_norm_row(
            row, gain.tolist(), offset.tolist(), channels=len(row), **fields
        )
        assert result == want


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 40),
    spread=st.integers(0, 15),
    epsilon=st.integers(1, (1 << 40)),
    mean_multiplier=_MULTIPLIER,
    mean_shift=_SHIFT,
    norm_shift=st.integers(-128, 127),
    offset_shift=st.integers(0, 16),
    output_shift=st.integers(1, 32),
    rms=st.booleans(),
)
def test_layer_norm(seed: int, channels: int, spread: int, **fields: Any) -> None:
    random = np.random.default_rng(salted(seed))
    rows = random.integers(-(1 << spread), 1 << spread, (3, channels)).astype(np.int16)
    gain = random.integers(-(1 << 15), 1 << 15, channels).astype(np.int16)
    offset = random.integers(-(1 << 15), 1 << 15, channels).astype(np.int16)
    _both_norms(rows, gain, offset, **fields)


@pytest.mark.parametrize("value", [-32768, -1, 0, 1, 32767])
@pytest.mark.parametrize("channels", [1, 128, 4096])
def test_layer_norm_of_constant_rows(value: int, channels: int) -> None:
    """No spread but epsilon; the widest row reaches the largest squares there are."""
    rows = np.full((1, channels), value, np.int16)
    edge = np.where(np.arange(channels) % 2, 32767, -32768).astype(np.int16)[None]
    gain = np.full(channels, 32767, np.int16)
    for row in (rows, edge):
        _both_norms(
            row,
            gain,
            -gain,
            epsilon=1,
            mean_multiplier=32768,
            mean_shift=11 + channels.bit_length() - 1,
            norm_shift=1,
            offset_shift=3,
            output_shift=20,
        )
