# SPDX-License-Identifier: Apache-2.0
"""The parts of a layer: exact products, types, saturation, rotary positions, table, both results of
a norm.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from meadow.golden.tiers.layer_parts import (
    accumulate,
    add_residual,
    as_words,
    hidden_rows,
    hidden_words,
    linear,
    look_up,
    norm,
    rotate_heads,
)
from meadow.golden.tiers.observer import ignore
from meadow.model.quantised import QuantisedLinear
from meadow.spec import numerics as scalar
from meadow.spec.config import MAX_INPUTS

OPT = random_model(family_description("opt"))
BERT = random_model(family_description("bert"))


def test_accumulators_are_exact_at_their_largest() -> None:
    """Sums of products with words of exponent 7, over strips of weights."""
    inputs = MAX_INPUTS
    x = np.full((2, inputs), 127 << 7, np.int16)
    x[1] = np.where(np.arange(inputs) % 2, -127, 126)
    matrix = QuantisedLinear(
        weight=np.full((30, inputs), 127, np.int8)
        * np.resize(np.array([[1], [-1], [0]], np.int8), (30, 1)),
        bias=np.resize(np.array([2**31 - 1, -(2**31), 1], np.int32), 30),
        multiplier=np.full(30, 65535, np.uint16),
        shift=np.full(30, 20, np.uint8),
    )
    want = x.astype(np.int64) @ matrix.weight.astype(np.int64).T + matrix.bias
    assert np.array_equal(accumulate(x, matrix), want)
    assert -(1 << 35) <= want.min() < -(1 << 34) and 1 << 34 < want.max() < 1 << 35


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


def test_norm_as_residual_is_the_same_row_with_another_shift() -> None:
    rows = np.random.default_rng(salted(9)).integers(-30000, 30000, (4, 16)).astype(np.int16)
    parameters = BERT.layers[0].mlp_norm
    parameters = dataclasses.replace(parameters, residual_shift=parameters.output_shift + 4)
    fine, coarse = norm(rows, parameters), norm(rows, parameters, as_residual=True)
    assert fine.dtype == coarse.dtype == np.int16 and len(np.unique(coarse)) > 20
    assert np.abs(fine / 16 - coarse)[np.abs(fine) < 32767].max() <= 0.54
    with pytest.raises(
        ValueError, match="a norm without residual_shift does not replace the resid"
    ):
        norm(rows, OPT.layers[0].mlp_norm, as_residual=True)


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
    table = np.random.default_rng(salted(2)).integers(-32767, 32768, 2048).astype(np.int16)
    x = np.arange(-(1 << 15), 1 << 15).astype(np.int16).reshape(256, 256)
    assert np.array_equal(look_up(x, table).reshape(-1), np.repeat(table, 32))


def test_words_stand_for_what_they_hold() -> None:
    row = [5, -128, 0, 127, 1000, -3, 4, 32767, 9, 0, 0, 0, -7]
    want = []
    for start in (0, 4, 8, 12):
        word = row[start : start + 4]
        exponent = scalar.word_exponent(word)
        want += [value << exponent for value in scalar.word_values(word, exponent)]
    got = as_words(np.array([row], np.int16), 4)
    assert got.dtype == np.int16 and got[0].tolist() == want
    assert want[:4] == [5, -127, 0, 127] and want[7] == 127 << 7 and want[8:] == row[8:]


@pytest.mark.parametrize("architecture", ["opt", "llama", "vit"])
def test_hidden_rows_have_16_bits(architecture: str) -> None:
    """ReLU, a gated table and a table alone; the sites in their order."""
    layer = random_model(family_description(architecture)).layers[0]
    x = np.random.default_rng(salted(4)).integers(-16000, 16000, (5, 16)).astype(np.int16)
    sites: dict[str, np.ndarray] = {}
    hidden = hidden_rows("here.", layer, x, sites.__setitem__)
    assert hidden.dtype == np.int16 and np.abs(hidden.astype(int)).max() > 10000
    seen = {"opt": [], "vit": ["fc1_out"], "llama": ["fc1_out", "activation", "up_out"]}
    assert list(sites) == ["here." + site for site in seen[architecture]]
    want = linear(x, layer.fc1, bits=16)
    if architecture == "opt":
        want = np.maximum(want, 0)
    else:
        want = look_up(want, layer.activation_table)
    if layer.up is not None:
        up = linear(x, layer.up, bits=16)
        want = np.clip((want.astype(int) * up + (1 << 11)) >> 12, -32768, 32767)
    assert np.array_equal(hidden, want)
    assert np.array_equal(hidden_rows("", layer, x, ignore), hidden)


def test_what_fills_up_a_hidden_block_counts_for_the_exponent() -> None:
    """A table's entry for 0, which is large here; nothing behind a ReLU."""
    vit = random_model(family_description("vit")).layers[0]
    table = np.full(2048, 3000, np.int16)
    layer, hidden = dataclasses.replace(vit, activation_table=table), np.full((1, 24), 77, np.int16)
    blocks = (slice(0, 16), slice(16, 24))
    whole, part = hidden_words(layer, hidden, blocks, 16)
    assert (whole == 77).all() and (part == 64).all()  # in steps of 2^5, as 3000 needs them
    plain = hidden_words(OPT.layers[0], hidden, blocks, 16)
    assert np.array_equal(np.concatenate(plain, axis=1), hidden)
