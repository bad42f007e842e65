# SPDX-License-Identifier: Apache-2.0
"""The stream of integers is the bit-true tier: layer by layer the same logits as all at once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.prefix import QuantisedPrefix
from meadow.spec.config import named_config

RANDOM = np.random.default_rng(salted(23))
TINY = named_config("tiny")


def prefix_of(tokens: tuple[int, ...], layers: int, kv_heads: int, e: int) -> QuantisedPrefix:
    shape = (layers, kv_heads, len(tokens), e)
    keys, values = RANDOM.integers(-127, 128, (2, *shape)).astype(np.int8)
    return QuantisedPrefix(tokens=tokens, keys=keys, values=values)


@pytest.mark.parametrize("architecture", ["opt", "llama", "qwen2", "bert"])
@pytest.mark.parametrize("tokens", [(), (1,), (1, 7, 3)])
def test_layer_by_layer_is_the_same_as_all_at_once(
    architecture: str, tokens: tuple[int, ...]
) -> None:
    d = family_description(architecture)
    if tokens and not d.causal:
        pytest.skip("models that are not causal have no prefix")
    model = random_model(d)
    if tokens:
        model = dataclasses.replace(
            model, prefix=prefix_of(tokens, d.layers, d.kv_heads, d.head_dim)
        )
    tier = BitTrueModel(model, TINY)
    text = RANDOM.integers(0, d.vocabulary, 25)
    stream = IntegerStream(tier)
    rows = stream.start(np.array([*tokens, *text]))
    for index in range(stream.layers):
        rows = stream.layer(index, rows)
    scale = model.logits_scale if d.outputs == "tokens" else model.residual_scale
    found = stream.logits(rows[len(tokens) :])
    np.testing.assert_array_equal(found, tier.forward(text) * np.float32(scale))


def test_a_window_without_the_prefix_is_refused() -> None:
    d = family_description("llama")
    model = dataclasses.replace(random_model(d), prefix=prefix_of((1, 2), 2, 2, 8))
    with pytest.raises(ValueError, match=r"must begin with the prefix \[1, 2\], not \[1, 3\]"):
        IntegerStream(BitTrueModel(model, TINY)).start(np.array([1, 3, 4]))
