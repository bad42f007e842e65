# SPDX-License-Identifier: Apache-2.0
"""Rotated models compute what they computed, and their channels are alike."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.rotation.rotated import RotatedTensors, rotate_model
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.model import ModelDescription

SHAPES = (
    {},
    {"width": 24, "heads": 3, "kv_heads": 3, "head_dim": 8, "hidden": 20},
    {"width": 36, "heads": 6, "kv_heads": 6, "head_dim": 6, "layers": 3},
    {"width": 20, "heads": 2, "kv_heads": 2, "head_dim": 10, "tied_head": True},
)


def described(architecture: str, shape: dict[str, int]) -> ModelDescription:
    if architecture in ("llama", "qwen2") and shape:
        shape = shape | {"heads": 6, "kv_heads": 2}
    return family_description(architecture, **shape)


def tensors_of(d: ModelDescription) -> dict[str, np.ndarray]:
    """Random tensors with one loud channel in the residual, gains and offsets of all sizes."""
    random = np.random.default_rng(salted(17))
    found = {}
    for name, shape in d.tensor_shapes.items():
        scale = 1.0 if "embed" in name or "norm" in name else 1.5 / math.sqrt(shape[-1])
        found[name] = (random.normal(size=shape) * scale).astype(np.float32)
    found["embed_tokens"][:, 3] += 40
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "opt", "vit"])
@pytest.mark.parametrize(
    ("residual", "values"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_outputs_are_unchanged(
    architecture: str, shape: dict[str, int], residual: bool, values: bool
) -> None:
    d = described(architecture, shape)
    tensors = tensors_of(d)
    tokens = np.random.default_rng(salted(5)).integers(0, d.vocabulary, 12)
    expected = FloatModel(d, tensors, np.float64).forward(tokens)
    rotated = rotate_model(d, tensors, residual=residual, values=values, seed=salted(3))
    found = FloatModel(rotated.description, rotated, np.float64).forward(tokens)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert list(rotated) == list(rotated.description.tensor_shapes) and len(rotated) == len(
        rotated.shapes
    )
    assert rotated.description.norm == "rms" and not rotated.description.tied_head


def test_a_loud_channel_is_spread_over_all() -> None:
    d = family_description("llama", width=48, heads=6, kv_heads=2)
    tensors = tensors_of(d)
    rotated = rotate_model(d, tensors)
    for values, ratio in ((tensors["embed_tokens"], 20), (rotated["embed_tokens"], 2.5)):
        rms = np.sqrt(np.square(values).mean(axis=0))
        assert (rms.max() / np.median(rms) > 20) == (ratio == 20)
        assert rms.max() / np.median(rms) > ratio or ratio == 2.5
    rms = np.sqrt(np.square(rotated["embed_tokens"]).mean(axis=0))
    assert rms.max() < 2.5 * np.median(rms)
    for norm in ("layers.0.attention_norm.weight", "final_norm.weight"):
        assert (rotated[norm] == 1).all()


def test_keys_and_queries_stay_in_their_coordinates() -> None:
    d = family_description("llama")
    tensors = tensors_of(d)
    rotated, seen = rotate_model(d, tensors), {}
    tokens = np.arange(6)
    for name, model in (
        ("before", FloatModel(d, tensors, np.float64)),
        ("after", FloatModel(rotated.description, rotated, np.float64)),
    ):
        model.forward(tokens, observe=lambda site, array, n=name: seen.update({(n, site): array}))
    for site in ("layers.0.q_out", "layers.1.k_out", "layers.0.fc2_in"):
        np.testing.assert_allclose(seen["after", site], seen["before", site], atol=1e-9)
    assert not np.allclose(seen["after", "layers.0.v_out"], seen["before", "layers.0.v_out"])


def test_models_without_pre_norm_or_head_are_refused() -> None:
    d = family_description("bert")
    with pytest.raises(ValueError, match="must be pre-norm and have a head, not so bert"):
        rotate_model(d, tensors_of(d))


def test_an_offset_that_no_head_can_take_in_is_refused() -> None:
    d = family_description("opt")
    tensors = tensors_of(d)
    tensors["final_norm.weight"][5] = 0
    with pytest.raises(ValueError, match="a gain where it has an offset, not so in channel 5"):
        rotate_model(d, tensors)
    tensors["final_norm.bias"][5] = 0
    expected = FloatModel(d, tensors, np.float64).forward([1, 2])
    rotated = rotate_model(d, tensors)
    found = FloatModel(rotated.description, rotated, np.float64).forward([1, 2])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert isinstance(rotated, RotatedTensors)
