# SPDX-License-Identifier: Apache-2.0
"""The table of families, and descriptions made from it."""

from __future__ import annotations

from typing import Any

import pytest

from meadow.golden.activations import ACTIVATIONS
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription

_SIZES: dict[str, Any] = {
    "layers": 1,
    "heads": 2,
    "head_dim": 8,
    "hidden": 24,
    "vocabulary": 20,
    "max_positions": 16,
    "bos_token": 0,
    "eos_token": 1,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_are_all_that_a_family_needs(name: str) -> None:
    family = FAMILIES[name]
    made = ModelDescription.of_family(name, **_SIZES)
    assert (made.width, made.kv_heads, made.norm_epsilon) == (16, 2, 1e-5)
    assert made.family is family and made.biases == family.biases
    assert made.activation == family.activations[0]
    assert made.rotary_base == (10000.0 if family.rotary else 0.0)
    for field in ("norm", "norm_order", "gated", "causal", "outputs", "position_offset"):
        assert getattr(made, field) == getattr(family, field), field


@pytest.mark.parametrize("name", FAMILIES)
def test_every_activation_of_a_family_is_a_function(name: str) -> None:
    for activation in FAMILIES[name].activations:
        assert activation in ACTIVATIONS
        made = ModelDescription.of_family(name, activation=activation, **_SIZES)
        assert made.activation == activation


def test_a_width_gives_the_head_dim_and_what_is_given_counts() -> None:
    sizes = {key: value for key, value in _SIZES.items() if key != "head_dim"}
    assert ModelDescription.of_family("opt", width=32, **sizes).head_dim == 16
    both = ModelDescription.of_family("llama", width=20, kv_heads=1, rotary_base=7.0, **_SIZES)
    assert (both.width, both.head_dim, both.kv_heads, both.rotary_base) == (20, 8, 1, 7.0)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bloom", {}, "architecture must be one of opt, llama, vit, bert, qwen2, not 'bloom'"),
        ("opt", {"heads": 0}, "heads must be at least 1, not 0"),
        ("opt", {"heads": "two"}, "heads must be an integer, not 'two'"),
        ("opt", {"dropout": 0.1}, "a model description has no field dropout"),
        ("opt", {"activation": "gelu"}, "activation of architecture 'opt' must be 'relu'"),
    ],
)
def test_what_a_family_refuses(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelDescription.of_family(name, **_SIZES | change)


@pytest.mark.parametrize("field", ["heads", "layers", "bos_token"])
def test_a_size_that_is_missing_is_named(field: str) -> None:
    sizes = {key: value for key, value in _SIZES.items() if key != field}
    with pytest.raises(ValueError, match=f"a model description needs the field .*{field}"):
        ModelDescription.of_family("opt", **sizes)
