# SPDX-License-Identifier: Apache-2.0
"""OPT's configuration and tensors: variants, special tokens, tied heads, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hw_tests.meadow.compiler.opt_checkpoint import PREFIX, opt_weights, write
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint


def test_tied_and_untied_head(tmp_path: Path) -> None:
    weights = opt_weights()
    tied = weights[f"{PREFIX}embed_tokens.weight"]
    found = load_checkpoint(write(tmp_path, weights | {"lm_head.weight": tied}))
    assert "head" not in found.tensors

    other = weights | {"lm_head.weight": tied + 1}
    with pytest.raises(CheckpointError, match=r"lm_head\.weight must equal embed_tokens"):
        load_checkpoint(write(tmp_path, other))
    found = load_checkpoint(write(tmp_path, other, tie_word_embeddings=False))
    assert not found.description.tied_head
    np.testing.assert_array_equal(found.tensors["head"], tied + 1)
    with pytest.raises(CheckpointError, match=r"must hold lm_head.weight of shape \[20, 8\]"):
        load_checkpoint(write(tmp_path, weights, tie_word_embeddings=False))


def test_without_biases_and_norm_weights(tmp_path: Path) -> None:
    bare = {
        name: value
        for name, value in opt_weights().items()
        if not name.endswith(".bias") and "layer_norm" not in name
    }
    found = load_checkpoint(
        write(tmp_path, bare, enable_bias=False, layer_norm_elementwise_affine=False)
    ).tensors
    assert not found["layers.0.q.bias"].any() and found["layers.0.q.bias"].shape == (8,)
    assert not found["layers.1.fc1.bias"].any()
    assert not found["final_norm.bias"].any() and not found["layers.0.mlp_norm.bias"].any()
    assert (found["final_norm.weight"] == 1).all()
    assert (found["layers.1.attention_norm.weight"] == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type must be one of llama, opt, qwen2, not 'gpt2'"),
        ({"model_type": ...}, "model_type must be one of llama, opt, qwen2, not None"),
        ({"do_layer_norm_before": False}, "do_layer_norm_before must be True, not False"),
        ({"_remove_final_layer_norm": True}, "_remove_final_layer_norm must be False, not True"),
        ({"activation_function": "gelu"}, "activation_function must be 'relu', not 'gelu'"),
        ({"word_embed_proj_dim": 4}, r"word_embed_proj_dim must equal hidden_size \(8\), not 4"),
        ({"num_attention_heads": 3}, r"num_attention_heads must divide hidden_size \(8\), not 3"),
        ({"num_attention_heads": 0}, r"num_attention_heads must divide hidden_size \(8\), not 0"),
        ({"ffn_dim": ...}, "ffn_dim of config.json must be an integer, not None"),
        ({"ffn_dim": "12"}, "ffn_dim of config.json must be an integer, not '12'"),
        ({"eos_token_id": "2"}, r"eos_token_id of config.json must be an integer, not '2'"),
        ({"eos_token_id": [2, "3"]}, r"eos_token_id of config.json must be an integer, not '3'"),
        ({"bos_token_id": []}, r"must be an integer or a list of them, not \[\]"),
        (
            {"bos_token_id": float("nan")},
            r"bos_token_id of config.json must be an integer, not nan",
        ),
        ({"eos_token_id": 20}, "eos_token must be below the vocabulary of 20, not 20"),
        ({"num_hidden_layers": 0}, "layers must be at least 1, not 0"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings .* must be true or false, not 'no'"),
        ({"enable_bias": 2}, "enable_bias of config.json must be true or false, not 2"),
        ({"num_hidden_layers": 10**18}, "hold tensors of 10{18} layers, not 36 tensors in all"),
        ({"num_hidden_layers": 1}, r"an OPT model has no tensor layers\.1\."),
        ({"num_hidden_layers": 3}, r"must hold layers\.2\.self_attn_layer_norm\.weight of shape"),
        ({"enable_bias": False}, r"an OPT model has no tensor layers\.0\.fc1\.bias"),
    ],
)
def test_configuration_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(write(tmp_path, **change))


def test_tensor_missing_or_misshapen(tmp_path: Path) -> None:
    name = f"{PREFIX}layers.1.fc2.weight"
    weights = opt_weights()
    array = weights.pop(name)
    with pytest.raises(
        CheckpointError, match=r"must hold layers\.1\.fc2\.weight of shape \[8, 12\]"
    ):
        load_checkpoint(write(tmp_path, weights))
    with pytest.raises(
        CheckpointError,
        match=r"layers\.1\.fc2\.weight must have the shape \[8, 12\], not \[12, 8\]",
    ):
        load_checkpoint(write(tmp_path, weights | {name: np.ascontiguousarray(array.T)}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(tmp_path: Path, value: float) -> None:
    weights = opt_weights()
    weights[f"{PREFIX}layers.0.fc1.bias"][5] = value
    with pytest.raises(
        CheckpointError, match=rf"layers\.0\.fc1\.bias must hold finite values only, not {value}"
    ):
        load_checkpoint(write(tmp_path, weights))


@pytest.mark.parametrize("prefix", ["", "model.", "model.decoder.", "module."])
def test_a_tied_matrix_is_read_under_either_name(tmp_path: Path, prefix: str) -> None:
    weights = opt_weights()
    tied = weights.pop(f"{PREFIX}embed_tokens.weight")
    found = load_checkpoint(write(tmp_path, weights | {f"{prefix}lm_head.weight": tied}))
    np.testing.assert_array_equal(found.tensors["embed_tokens"], tied)
    assert list(found.tensors) == list(found.description.tensor_shapes)
    with pytest.raises(CheckpointError, match=r"must hold embed_tokens\.weight of shape"):
        load_checkpoint(
            write(tmp_path, weights | {"lm_head.weight": tied}, tie_word_embeddings=False)
        )
    with pytest.raises(
        CheckpointError, match=r"must hold embed_tokens\.weight \(or lm_head\.weight\) of shape"
    ):
        load_checkpoint(write(tmp_path, weights))


def test_a_tied_matrix_is_read_from_shards_without_metadata(tmp_path: Path) -> None:
    weights = opt_weights()
    tied = weights.pop(f"{PREFIX}embed_tokens.weight")
    write(tmp_path, weights)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    second = tmp_path / "model-00002-of-00002.safetensors"
    save_file({"lm_head.weight": tied}, second)
    assert b"__metadata__" not in second.read_bytes()
    places = dict.fromkeys(weights, "model-00001-of-00002.safetensors")
    places["lm_head.weight"] = second.name
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(load_checkpoint(tmp_path).tensors["embed_tokens"], tied)


@pytest.mark.parametrize(
    ("config", "generation", "tokens", "remarks"),
    [
        ({"eos_token_id": [5]}, {}, (2, 5), []),
        ({"eos_token_id": [5, 6]}, {}, (2, 5), []),
        ({"bos_token_id": [5, 6]}, {}, (5, 2), ["bos_token_id is the first of [5, 6]"]),
        ({"bos_token_id": None}, {}, (2, 2), ["bos_token_id is null: token 2 is taken"]),
        ({"bos_token_id": None, "eos_token_id": 7}, {}, (7, 7), ["bos_token_id is null: token 7"]),
        ({"eos_token_id": None, "bos_token_id": 4}, {}, (4, 4), ["eos_token_id is null: token 4"]),
        (
            {"bos_token_id": None, "eos_token_id": None},
            {},
            (2, 2),
            ["bos_token_id is null: token 2", "eos_token_id is null: token 2"],
        ),
        ({"bos_token_id": ..., "eos_token_id": ...}, {}, (2, 2), []),
        ({"eos_token_id": None}, {"eos_token_id": 9}, (2, 9), []),
        ({"eos_token_id": ...}, {"eos_token_id": [9]}, (2, 9), []),
        (
            {},
            {"eos_token_id": [8, 2]},
            (2, 8),
            ["eos_token_id is 8 by generation_config.json"],
        ),
    ],
)
def test_special_tokens_may_be_missing_null_or_a_list(
    tmp_path: Path,
    config: dict[str, Any],
    generation: dict[str, Any],
    tokens: tuple[int, int],
    remarks: list[str],
) -> None:
    write(tmp_path, **config)
    if generation:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    found = load_checkpoint(tmp_path)
    assert (found.description.bos_token, found.description.eos_token) == tokens
    assert len(found.remarks) == len(remarks)
    for remark, start in zip(found.remarks, remarks, strict=True):
        assert remark.startswith(start)
