# SPDX-License-Identifier: Apache-2.0
"""The parts of a layer: exact products, types, saturation, rotary positions, table, both results of
a norm.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from meadow.golden.tiers.layer_parts import (
    accumulate,
    add_residual,
    linear,
    look_up,
    norm,
    rotate_heads,
)
from meadow.model.quantised import QuantisedLinear
from meadow.spec import numerics as scalar

OPT = random_model(family_description("opt"))
BERT = random_model(family_description("bert"))


def test_accumulators_are_exact_beyond_the_float32_strip() -> None:
    inputs = 5000
    x = np.full((2, inputs), 127, np.int8)
    x[1] = np.where(np.arange(inputs) % 2, -127, 126)
    matrix = QuantisedLinear(
        weight=np.full((3, inputs), 127, np.int8) * np.array([[1], [-1], [0]], np.int8),
        bias=np.array([1, -1, 2**31 - 1], np.int32),
        multiplier=np.full(3, 65535, np.uint16),
        shift=np.full(3, 20, np.uint8),
    )
    want = x.astype(np.int64) @ matrix.weight.astype(np.int64).T + matrix.bias
    assert np.array_equal(accumulate(x, matrix), want)


def test_linear_relu_and_types() -> None:
    matrix = OPT.layers[0].q
    x = np.random.default_rng(salted(4)).integers(-127, 128, (5, 16)).astype(np.int8)
    plain, rectified = linear(x, matrix), linear(x, matrix, relu=True)
    assert plain.dtype == np.int8 and plain.min() < 0
    assert np.array_equal(rectified, np.maximum(plain, 0))
    assert linear(x, matrix, bits=16).dtype == np.int16


def test_add_residual_saturates() -> None:
    got = add_residual(np.array([[32767, -32768, 5]], np.int16), np.array([[1, -1, -6]], np.int16))
    assert got.tolist() == [[32767, -32768, -1]] and got.dtype == np.int16


def test_norm_keeps_rows_apart() -> None:
    rows = np.random.default_rng(salted(9)).integers(-30000, 30000, (4, 16)).astype(np.int16)
    parameters = OPT.layers[0].mlp_norm
    together = norm(rows, parameters)
    assert np.array_equal(together, np.concatenate([norm(row[None], parameters) for row in rows]))


def test_norm_to_16_bits_is_the_same_row_with_another_shift() -> None:
    rows = np.random.default_rng(salted(9)).integers(-30000, 30000, (4, 16)).astype(np.int16)
    parameters = BERT.layers[0].mlp_norm
    short, long = norm(rows, parameters), norm(rows, parameters, bits=16)
    assert (short.dtype, long.dtype) == (np.int8, np.int16)
    assert np.abs(long / 128 - short)[np.abs(short) < 127].max() <= 0.51
    with pytest.raises(ValueError, match="a norm without residual_shift has no 16-bit result"):
        norm(rows, OPT.layers[0].mlp_norm, bits=16)


def test_rotation_of_every_pair_of_every_head() -> None:
    random = np.random.default_rng(salted(6))
    x = random.integers(-(1 << 15), 1 << 15, (3, 24)).astype(np.int16)
    rotary = random.integers(-(1 << 14), (1 << 14) + 1, (3, 4, 2)).astype(np.int16)
    got = rotate_heads(x, rotary, 22)
    assert got.dtype == np.int8
    for row in range(3):
        for first in range(0, 24, 2):
            cosine, sine = rotary[row, first // 2 % 4].tolist()
            want = scalar.rotate(int(x[row, first]), int(x[row, first + 1]), cosine, sine, 22)
            assert tuple(got[row, first : first + 2].tolist()) == want


def test_look_up_takes_steps_of_32() -> None:
    table = np.random.default_rng(salted(2)).integers(-127, 128, 2048).astype(np.int8)
    x = np.arange(-(1 << 15), 1 << 15).astype(np.int16).reshape(256, 256)
    assert np.array_equal(look_up(x, table).reshape(-1), np.repeat(table, 32))
