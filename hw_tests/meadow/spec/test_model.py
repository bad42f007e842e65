# SPDX-License-Identifier: Apache-2.0
"""The model description: rules by message, tensor list, parameter count, round trip."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from hw_tests.models import family_description
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription

OPT_125M: dict[str, Any] = {
    "architecture": "opt",
    "norm_order": "pre",
    "gated": False,
    "rotary_base": 0.0,
    "causal": True,
    "outputs": "tokens",
    "layers": 12,
    "width": 768,
    "heads": 12,
    "kv_heads": 12,
    "head_dim": 64,
    "hidden": 3072,
    "vocabulary": 50272,
    "max_positions": 2048,
    "position_offset": 2,
    "norm": "layer",
    "norm_epsilon": 1e-5,
    "activation": "relu",
    "tied_head": True,
    "bos_token": 2,
    "eos_token": 2,
}


def describe(**change: Any) -> ModelDescription:
    """OPT-125M with some fields changed."""
    return ModelDescription(**OPT_125M | change)


def test_parameters_of_opt_125m() -> None:
    """The published model has 125 239 296 parameters."""
    assert describe().parameters == 125_239_296


def test_untied_head_counts() -> None:
    untied = describe(tied_head=False)
    assert untied.parameters == 125_239_296 + 50272 * 768
    assert list(untied.tensor_shapes)[-1] == "head"


def test_tensor_shapes() -> None:
    shapes = describe(layers=2).tensor_shapes
    assert len(shapes) == 2 + 2 * 16 + 2
    assert shapes["embed_tokens"] == (50272, 768)
    assert shapes["embed_positions"] == (2050, 768)
    assert shapes["layers.1.fc1.weight"] == (3072, 768)
    assert shapes["layers.1.fc1.bias"] == (3072,)
    assert shapes["layers.1.fc2.weight"] == (768, 3072)
    assert shapes["layers.0.k.weight"] == (768, 768)
    assert shapes["layers.0.mlp_norm.bias"] == (768,)
    assert "layers.2.q.weight" not in shapes


def test_round_trip_through_json() -> None:
    description = describe()
    assert ModelDescription.from_dict(json.loads(json.dumps(description.to_dict()))) == description


def test_frozen_and_keyword_only() -> None:
    description = describe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        description.layers = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        ModelDescription("opt")  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architecture": "bloom"},
            "architecture must be one of opt, llama, vit, bert, qwen2, not 'bloom'",
        ),
        ({"norm": "batch"}, "norm must be one of layer, rms, not 'batch'"),
        ({"rotary_divisors": [1.0]}, r"rotary_divisors must be a tuple of floats, not \[1.0\]"),
        ({"rotary_divisors": (1.0,)}, "must be none or one for each of 0 pairs, not 1"),
        ({"activation": "tanh"}, "activation must be one of relu, silu, gelu, not 'tanh'"),
        ({"activation": "gelu"}, "activation of architecture 'opt' must be 'relu', not 'gelu'"),
        ({"position_offset": 0}, "position_offset of architecture 'opt' must be 2, not 0"),
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"hidden": 2.5}, "hidden must be an integer, not 2.5"),
        ({"layers": True}, "layers must be an integer, not True"),
        ({"bos_token": -1}, "bos_token must be at least 0, not -1"),
        ({"eos_token": 50272}, "eos_token must be below the vocabulary of 50272, not 50272"),
        ({"tied_head": 1}, "tied_head must be true or false, not 1"),
        ({"norm_epsilon": 0.0}, "norm_epsilon must lie between 0 and 1, not 0.0"),
        ({"norm_epsilon": "x"}, "norm_epsilon must be a number, not 'x'"),
        ({"norm_order": "post"}, "norm_order of architecture 'opt' must be 'pre', not 'post'"),
        ({"norm_order": "both"}, "norm_order must be one of pre, post, not 'both'"),
        ({"outputs": "logits"}, "outputs must be one of tokens, hidden, not 'logits'"),
        ({"gated": 1}, "gated must be true or false, not 1"),
        ({"gated": True}, "gated of architecture 'opt' must be False, not True"),
        ({"causal": False}, "causal of architecture 'opt' must be True, not False"),
        ({"rotary_base": "x"}, "rotary_base must be a number, not 'x'"),
        ({"rotary_base": 0.5}, "rotary_base must be 0 or above 1, not 0.5"),
        ({"rotary_base": 1e4}, "rotary_base of architecture 'opt' must be 0.0, not 10000.0"),
        ({"kv_heads": 5}, "heads must be a multiple of kv_heads, not 12 and 5"),
        ({"kv_heads": 4}, r"kv_heads of architecture 'opt' must equal heads \(12\), not 4"),
        ({"head_dim": 32}, r"heads \* head_dim .* must equal width \(768\), not 12 \* 32"),
    ],
)
def test_rules(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe(**change)


def test_every_family_has_the_tensors_of_its_equations() -> None:
    shapes = {name: family_description(name, layers=1).tensor_shapes for name in FAMILIES}
    assert {name: len(tensors) for name, tensors in shapes.items()} == {
        "opt": 2 + 16 + 2,
        "llama": 1 + 9 + 1 + 1,
        "vit": 2 + 16 + 2 + 1,
        "bert": 2 + 2 + 16,
        "qwen2": 1 + 9 + 3 + 1 + 1,
    }
    llama = shapes["llama"]
    assert not any(name.endswith("bias") for name in llama) and "embed_positions" not in llama
    assert llama["layers.0.q.weight"] == (32, 16) and llama["layers.0.k.weight"] == (16, 16)
    assert llama["layers.0.o.weight"] == (16, 32) and llama["layers.0.up.weight"] == (24, 16)
    bert = list(shapes["bert"])
    assert bert.index("embedding_norm.weight") == 2
    assert bert.index("layers.0.o.bias") + 1 == bert.index("layers.0.attention_norm.weight")
    assert bert[-1] == "layers.0.mlp_norm.bias"


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("llama", {"rotary_base": 0}, "rotary_base of architecture 'llama' must be above 1, not 0"),
        ("llama", {"head_dim": 7}, "head_dim with rotary positions must be even, not 7"),
        ("llama", {"gated": False}, "gated of architecture 'llama' must be True, not False"),
        ("vit", {"causal": True}, "causal of architecture 'vit' must be False, not True"),
        ("vit", {"kv_heads": 1}, r"kv_heads of architecture 'vit' must equal heads \(2\), not 1"),
        ("bert", {"outputs": "tokens"}, "outputs of architecture 'bert' must be 'hidden'"),
        ("bert", {"norm_order": "pre"}, "norm_order of architecture 'bert' must be 'post'"),
    ],
)
def test_rules_of_the_families(architecture: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        family_description(architecture, **change)


def test_heads_of_a_group_and_biases() -> None:
    found = [family_description(name) for name in FAMILIES]
    assert [d.group_heads for d in found] == [1, 2, 1, 1, 2]
    assert [d.biases for d in found] == [True, False, True, True, False]
    biased = ["".join(part for part in "qkvo" if d.has_bias(part)) for d in found]
    assert biased == ["qkvo", "", "qkvo", "qkvo", "qkv"]
    for description in found:
        assert ModelDescription.from_dict(description.to_dict()) == description


@pytest.mark.parametrize(
    ("divisors", "message"),
    [
        ((1.0, 2.0), "must be none or one for each of 4 pairs, not 2"),
        ((1.0, 2.0, 3.0, 4), "must be a tuple of floats, not "),
        ((1.0, 2.0, 0.0, 4.0), "must be at least 1e-30, not 0.0"),
        ((1.0, 2.0, 1e-31, 4.0), "must be at least 1e-30, not 1e-31"),
        ((1.0, 2.0, float("inf"), 4.0), "must be at least 1e-30, not inf"),
    ],
)
def test_divisors_of_rotary_frequencies(divisors: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        family_description("llama", rotary_divisors=divisors)
    good = family_description("llama", rotary_divisors=(1.0, 2.0, 3.0, 4.0))
    assert good.to_dict()["rotary_divisors"] == [1.0, 2.0, 3.0, 4.0]
    assert ModelDescription.from_dict(json.loads(json.dumps(good.to_dict()))) == good
    with pytest.raises(ValueError, match="rotary_divisors must be a list, not 3"):
        ModelDescription.from_dict(good.to_dict() | {"rotary_divisors": 3})
    assert "rotary_divisors" not in family_description("llama").to_dict()


def test_a_folded_mean_leaves_an_rms_norm() -> None:
    assert describe(norm="rms").norm == "rms"
    with pytest.raises(ValueError, match="norm of architecture 'bert' must be 'layer', not 'rms'"):
        family_description("bert", norm="rms")
    with pytest.raises(ValueError, match="norm of architecture 'llama' must be 'rms', not 'layer'"):
        family_description("llama", norm="layer")


def test_from_dict_wants_exactly_the_fields() -> None:
    with pytest.raises(ValueError, match="a model description has no field dropout"):
        ModelDescription.from_dict(OPT_125M | {"dropout": 0.1})
    without = {key: value for key, value in OPT_125M.items() if key != "heads"}
    with pytest.raises(ValueError, match="a model description needs the field heads"):
        ModelDescription.from_dict(without)
