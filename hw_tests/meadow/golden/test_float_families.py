# SPDX-License-Identifier: Apache-2.0
"""The float tier of every family against its equations written down once more, token by token in
float64.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.golden.activations import gelu, silu
from meadow.golden.tiers.cache import FloatCache
from meadow.golden.tiers.float_operators import rms_norm
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription

TOKENS = np.random.default_rng(salted(5)).integers(0, 20, 9)
Tensors = dict[str, np.ndarray]


def tensors_of(d: ModelDescription) -> Tensors:
    random = np.random.default_rng(salted(17))
    made = {}
    for name, shape in d.tensor_shapes.items():
        scale = 1.0 if "embed" in name or "norm" in name else 1.5 / math.sqrt(shape[-1])
        made[name] = (random.normal(size=shape) * scale).astype(np.float32)
    return made


def norm(d: ModelDescription, t: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean() if d.norm == "layer" else x
    scaled = centred / math.sqrt(np.dot(centred, centred) / len(x) + d.norm_epsilon)
    return scaled * t[name + ".weight"] + t.get(name + ".bias", 0.0)


def linear(t: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    return t[name + ".weight"].astype(np.float64) @ x + t.get(name + ".bias", 0.0)


def turned(d: ModelDescription, x: np.ndarray, position: int) -> np.ndarray:
    """Pairs as complex numbers times exp(i * position * base^(-2i/e))."""
    if not d.rotary_base:
        return x
    pairs = x.reshape(-1, d.head_dim // 2, 2)
    result = np.empty_like(pairs)
    for index in range(d.head_dim // 2):
        angle = position / d.rotary_base ** (2 * index / d.head_dim)
        value = (pairs[:, index, 0] + 1j * pairs[:, index, 1]) * np.exp(1j * angle)
        result[:, index] = np.stack([value.real, value.imag], axis=-1)
    return result.reshape(-1)


def activated(d: ModelDescription, t: Tensors, layer: str, x: np.ndarray) -> np.ndarray:
    mlp_hidden = linear(t, layer + "fc1", x)
    if d.activation == "relu":
        return np.array([max(value, 0.0) for value in mlp_hidden])
    if d.activation == "gelu":
        return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in mlp_hidden])
    return np.array([v / (1 + math.exp(-v)) for v in mlp_hidden]) * linear(t, layer + "up", x)


def reference(d: ModelDescription, t: Tensors, tokens: np.ndarray) -> np.ndarray:
    rows = [t["embed_tokens"][token].astype(np.float64) for token in tokens]
    if not d.rotary_base:
        rows = [x + t["embed_positions"][p + d.position_offset] for p, x in enumerate(rows)]
    post = d.norm_order == "post"
    if post:
        rows = [norm(d, t, "embedding_norm", x) for x in rows]
    for index in range(d.layers):
        layer, e = f"layers.{index}.", d.head_dim
        inputs = rows if post else [norm(d, t, layer + "attention_norm", x) for x in rows]
        q, k = (
            [turned(d, linear(t, layer + part, x), p) for p, x in enumerate(inputs)]
            for part in "qk"
        )
        v = [linear(t, layer + "v", x) for x in inputs]
        for position, x in enumerate(rows):
            attention_out = []
            for head in range(d.heads):
                own = slice(head * e, head * e + e)
                shared = slice(head // d.group_heads * e, head // d.group_heads * e + e)
                seen = range(position + 1 if d.causal else len(rows))
                powers = [math.exp(q[position][own] @ k[j][shared] / math.sqrt(e)) for j in seen]
                sums = sum(p * v[j][shared] for p, j in zip(powers, seen, strict=True))
                attention_out.append(sums / sum(powers))
            rows[position] = x + linear(t, layer + "o", np.concatenate(attention_out))
            if post:
                rows[position] = norm(d, t, layer + "attention_norm", rows[position])
        for position, x in enumerate(rows):
            mlp_hidden = activated(d, t, layer, x if post else norm(d, t, layer + "mlp_norm", x))
            rows[position] = x + linear(t, layer + "fc2", mlp_hidden)
            if post:
                rows[position] = norm(d, t, layer + "mlp_norm", rows[position])
    if d.outputs == "hidden":
        return np.array(rows)
    head = t["embed_tokens" if d.tied_head else "head"]
    return np.array([head @ norm(d, t, "final_norm", x) for x in rows])


@pytest.mark.parametrize("architecture", FAMILIES)
def test_equations(architecture: str) -> None:
    d = family_description(architecture)
    tensors = tensors_of(d)
    found = FloatModel(d, tensors).forward(TOKENS)
    expected = reference(d, tensors, TOKENS)
    assert found.dtype == np.float32 and np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("cuts", [(1,), (3, 4), tuple(range(1, 9))])
def test_rotary_positions_go_on_in_chunks(cuts: tuple[int, ...]) -> None:
    d = family_description("llama")
    model = FloatModel(d, tensors_of(d))
    cache = FloatCache(d)
    parts = [model.forward(part, cache) for part in np.split(TOKENS, cuts)]
    np.testing.assert_allclose(np.concatenate(parts), model.forward(TOKENS), rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", ["vit", "bert"])
def test_a_model_that_is_not_causal_takes_whole_sequences(architecture: str) -> None:
    d = family_description(architecture)
    model, cache = FloatModel(d, tensors_of(d)), FloatCache(d)
    model.forward(TOKENS[:4], cache)
    with pytest.raises(ValueError, match="not causal must start at position 0, not 4"):
        model.forward(TOKENS[4:], cache)


def test_activations_and_rms_norm() -> None:
    x = np.array([[-60.0, -1.0, 0.0, 1.0, 3.0, 60.0]], np.float32)
    known = [0.0, -0.15865525, 0.0, 0.84134475, 2.99595031, 60.0]
    np.testing.assert_allclose(gelu(x)[0], known, atol=1e-6)
    known = [0.0, -0.26894142, 0.0, 0.73105858, 2.85772238, 60.0]
    np.testing.assert_allclose(silu(x)[0], known, atol=1e-6)
    got = rms_norm(np.array([[3.0, 4.0]], np.float32), np.array([1.0, 2.0]), 0.5)
    np.testing.assert_allclose(got[0], np.array([3.0, 8.0]) / math.sqrt(13), atol=1e-6)
