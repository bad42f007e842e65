# SPDX-License-Identifier: Apache-2.0
"""Rules of a quantised model: its parts fit each other and the equations of its family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from meadow.spec.families import FAMILIES

MODELS = {name: random_model(family_description(name)) for name in FAMILIES}


def test_norms_are_in_order_of_execution() -> None:
    opt, bert = MODELS["opt"], MODELS["bert"]
    layers = [norm for layer in opt.layers for norm in (layer.attention_norm, layer.mlp_norm)]
    assert list(opt.norms) == [*layers, opt.final_norm]
    layers = [norm for layer in bert.layers for norm in (layer.attention_norm, layer.mlp_norm)]
    assert list(bert.norms) == [bert.embedding_norm, *layers]


def test_embeddings_saturate_and_rotary_models_add_nothing() -> None:
    model = MODELS["opt"]
    loud = replace(model, embed_tokens=np.full_like(model.embed_tokens, 32000))
    rows = loud.embed(np.array([3, 4]), np.array([0, 1]))
    assert rows.dtype == np.int16
    assert np.array_equal(
        rows, np.minimum(32000 + model.embed_positions[:2].astype(int), (1 << 15) - 1)
    )
    llama = MODELS["llama"]
    assert np.array_equal(
        llama.embed(np.array([7, 7]), np.array([0, 9])), llama.embed_tokens[[7, 7]]
    )


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("opt", {"embed_positions": None}, "embed_positions must be given for a model without"),
        ("opt", {"rotary": np.zeros((48, 4, 2), np.int16)}, "rotary must be None for this model"),
        ("opt", {"head": None}, "head must be given for this model, not None"),
        ("opt", {"final_norm": None}, "final_norm must be given for this model, not None"),
        ("llama", {"rotary": None}, "rotary must be given for this model, not None"),
        ("llama", {"rotary": np.zeros((48, 4), np.int16)}, r"rotary must be int16 \[48, 4, 2\]"),
        ("bert", {"embedding_norm": None}, "embedding_norm must be given for this model, not None"),
        ("bert", {"head": MODELS["opt"].head}, "head must be None for this model"),
        (
            "vit",
            {"final_norm": MODELS["bert"].embedding_norm},
            "residual_shift of a norm must be None",
        ),
        (
            "llama",
            {"final_norm": MODELS["vit"].final_norm},
            "rms of a norm must be True, not False",
        ),
    ],
)
def test_parts_of_the_model(architecture: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MODELS[architecture], **change)


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("opt", {"rotary_shift": 5}, r"layers.0.rotary_shift must be 0, not 5"),
        ("llama", {"rotary_shift": 0}, r"layers.0.rotary_shift must be 1..31, not 0"),
        ("llama", {"rotary_shift": 32}, "rotary_shift must be an integer in 0..31, not 32"),
        ("llama", {"gate_shift": 0}, "gate_shift must be an integer in 1..31, not 0"),
        ("vit", {"gate_shift": 1}, "gate_shift must be an integer in 0..0, not 1"),
        ("llama", {"up": None, "gate_shift": 0}, "layers.0.up must be given for this model"),
        ("llama", {"up": MODELS["llama"].head}, r"layers.0.up must have the shape \[24, 16\]"),
        ("vit", {"activation_table": None}, "layers.0.activation_table must be given"),
        (
            "opt",
            {"activation_table": np.zeros(2048, np.int16)},
            "layers.0.activation_table must be None",
        ),
        (
            "vit",
            {"activation_table": np.zeros(1024, np.int16)},
            r"activation_table must be int16 \[2048\], not int16 \[1024\]",
        ),
        (
            "vit",
            {"activation_table": np.zeros(2048, np.int8)},
            r"activation_table must be int16 \[2048\], not int8 \[2048\]",
        ),
        (
            "llama",
            {"activation_table": None},
            "activation_table must be given where `up` multiplies the activation",
        ),
        ("bert", {"mlp_norm": MODELS["opt"].final_norm}, "residual_shift of a norm must be given"),
    ],
)
def test_parts_of_a_layer(architecture: str, change: dict[str, Any], message: str) -> None:
    model = MODELS[architecture]
    with pytest.raises(ValueError, match=message):
        replace(model, layers=(replace(model.layers[0], **change), *model.layers[1:]))


def test_residual_shift_of_a_norm() -> None:
    for shift in (0, 33):
        with pytest.raises(
            ValueError, match=f"residual_shift must be an integer in 1..32, not {shift}"
        ):
            replace(MODELS["opt"].layers[0].mlp_norm, residual_shift=shift)
