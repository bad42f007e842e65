# SPDX-License-Identifier: Apache-2.0
"""GGUF files against directories of the same random model, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from hw_tests.meadow.compiler.llama_checkpoint import SHAPES, config_of, llama_weights
from meadow.compiler.importers.checkpoint import (
    CheckpointError,
    checkpoint_files,
    load_checkpoint,
    read_description,
)
from meadow.compiler.importers.rotary import rotary_divisors
from workbench.campaigns.llama_files import write_directory, write_gguf


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_both_layouts_of_a_model_give_the_same_tensors(
    tmp_path: Path, architecture: str, shape: str, tied: bool
) -> None:
    config = config_of(architecture, shape, tie_word_embeddings=tied)
    weights = llama_weights(config)
    directory = load_checkpoint(write_directory(tmp_path / "model", config, weights))
    path = write_gguf(tmp_path / "model.gguf", config, weights)
    file = load_checkpoint(path)
    assert file.description == directory.description
    assert file.end_tokens == directory.end_tokens == (2,)
    assert list(file.tensors) == list(directory.tensors)
    for name, array in directory.tensors.items():
        np.testing.assert_array_equal(file.tensors[name], array)
    assert checkpoint_files(path) == [path] and read_description(path) == file.description


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_matrices_may_be_packed(tmp_path: Path, kind: str) -> None:
    config = config_of("llama", "narrow", hidden_size=64, intermediate_size=96)
    weights = llama_weights(config)
    file = write_gguf(tmp_path / "m.gguf", config, weights, kind=gguf.GGMLQuantizationType[kind])
    found, step = load_checkpoint(file).tensors, 0.0 if kind == "F16" else 1 / 127
    expected = load_checkpoint(write_directory(tmp_path / "m", config, weights)).tensors
    for name, array in expected.items():
        largest = np.abs(array).max()
        assert np.abs(found[name] - array).max() <= largest * step
    assert (found["layers.0.q.weight"] != expected["layers.0.q.weight"]).any() == (step > 0)


def test_divisors_of_rotary_frequencies_are_those_of_the_directory(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    config = config_of("llama", "narrow", rope_scaling=scaling)
    weights = llama_weights(config)
    divisors = np.array(rotary_divisors(scaling, 64, 1000.0))
    file = write_gguf(tmp_path / "m.gguf", config, weights, divisors=divisors)
    directory = write_directory(tmp_path / "m", config, weights)
    found = read_description(file).rotary_divisors
    np.testing.assert_allclose(found, read_description(directory).rotary_divisors, rtol=1e-7)
    assert min(found) == 1 and max(found) == 8


@pytest.mark.parametrize(
    ("metadata", "divisors"),
    [
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, (4.0,) * 4),
        ({"llama.rope.scale_linear": 2.0}, (2.0,) * 4),
        # As llama.cpp reads them: linear if no type stands there, and the old key in every case.
        ({"llama.rope.scaling.factor": 4.0}, (4.0,) * 4),
        ({"llama.rope.scaling.type": "linear", "llama.rope.scale_linear": 2.0}, (2.0,) * 4),
        ({"llama.rope.scaling.type": "linear"}, ()),
        ({"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}, ()),
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 0.0}, ()),
    ],
)
def test_a_scaling_factor_is_read(
    tmp_path: Path, metadata: dict[str, Any], divisors: tuple[float, ...]
) -> None:
    config = config_of("llama", "width72")
    file = write_gguf(tmp_path / "m.gguf", config, llama_weights(config), metadata=metadata)
    assert read_description(file).rotary_divisors == divisors


def test_end_tokens_of_a_turn_count_too(tmp_path: Path) -> None:
    config = config_of("llama", "width72")
    metadata = {
        "tokenizer.ggml.eot_token_id": 5,
        "tokenizer.ggml.eom_token_id": 2,
        "tokenizer.ggml.bos_token_id": ...,
    }
    file = write_gguf(tmp_path / "m.gguf", config, llama_weights(config), metadata=metadata)
    found = load_checkpoint(file)
    assert found.end_tokens == (2, 5)
    assert (found.description.bos_token, found.description.eos_token) == (2, 2)


def test_heads_may_be_listed_layer_by_layer_if_they_are_equal(tmp_path: Path) -> None:
    config = config_of("llama", "width72")
    weights = llama_weights(config)
    key = "llama.attention.head_count_kv"
    file = write_gguf(tmp_path / "a.gguf", config, weights, metadata={key: [3, 3]})
    assert read_description(file).kv_heads == 3
    file = write_gguf(tmp_path / "b.gguf", config, weights, metadata={key: [3, 1]})
    with pytest.raises(CheckpointError, match=r"head_count_kv of b.gguf must be an integer, not"):
        read_description(file)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"general.architecture": "gemma2"}, "of m.gguf must be one of llama, qwen2, not 'gemma2'"),
        ({"llama.expert_count": 8}, "llama.expert_count must be 0, not 8"),
        (
            {"llama.attention.sliding_window": 16},
            "llama.attention.sliding_window must be 0, not 16",
        ),
        ({"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}, "not 'yarn'"),
        ({"llama.rope.scaling.type": "yarn"}, "not 'yarn'"),
        ({"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 0.0}, "not 'yarn'"),
        ({"llama.rope.scaling.factor": "x"}, "factor of the rotary scaling must be above 0, not"),
        ({"llama.rope.scaling.attn_factor": 2.0}, "attn_factor must be 0.0, not 2.0"),
        ({"llama.rope.dimension_count": 4}, "llama.rope.dimension_count must be 8, not 4"),
        ({"llama.attention.value_length": 16}, "llama.attention.value_length must be 8, not 16"),
        ({"llama.attention.key_length": 16}, "value_length must be 16, not 8"),
        ({"llama.block_count": ...}, "llama.block_count of m.gguf must be an integer, not None"),
        ({"llama.block_count": 3}, r"must hold blk\.2\.attn_norm\.weight of shape \[72\]"),
        ({"llama.block_count": 1}, r"a Llama model has no tensor blk\.1\."),
        ({"llama.block_count": 10**9}, "must hold tensors of 1000000000 layers, not"),
        ({"llama.feed_forward_length": 180}, r"ffn_gate.weight must have the shape \[180, 72\]"),
        ({"llama.rope.freq_base": "x"}, "llama.rope.freq_base of m.gguf must be a number, not 'x'"),
        ({"llama.attention.head_count": 0}, "llama.attention.head_count must be at least 1, not 0"),
        ({"llama.attention.layer_norm_rms_epsilon": ...}, "rms_epsilon of m.gguf must be a number"),
        (
            {"tokenizer.ggml.eos_token_id": 300},
            "m.gguf describes no Llama model: eos_token must be",
        ),
        ({"tokenizer.ggml.eot_token_id": 300}, "an end token must be below .* of 300, not 300"),
        ({"tokenizer.ggml.eos_token_id": "2"}, "eos_token_id must be an integer, not '2'"),
    ],
)
def test_what_is_not_imported_is_refused(
    tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    config = config_of("llama", "width72")
    file = write_gguf(tmp_path / "m.gguf", config, llama_weights(config), metadata=metadata)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(file)


def test_tensors_that_are_missing_or_not_finite_are_named(tmp_path: Path) -> None:
    config = config_of("qwen2", "deep")
    weights = llama_weights(config)
    less = {key: value for key, value in weights.items() if "layers.2.mlp.up_proj" not in key}
    with pytest.raises(CheckpointError, match=r"must hold blk\.2\.ffn_up\.weight of shape \[36"):
        load_checkpoint(write_gguf(tmp_path / "less.gguf", config, less))
    weights["model.layers.1.self_attn.v_proj.bias"][3] = np.nan
    with pytest.raises(CheckpointError, match=r"blk\.1\.attn_v\.bias must hold finite .* nan"):
        load_checkpoint(write_gguf(tmp_path / "nan.gguf", config, weights))
    bare = {key: value for key, value in weights.items() if "embed" not in key}
    with pytest.raises(CheckpointError, match=r"must hold token_embd\.weight"):
        load_checkpoint(write_gguf(tmp_path / "bare.gguf", config, bare))
