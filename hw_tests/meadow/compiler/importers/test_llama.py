# SPDX-License-Identifier: Apache-2.0
"""Llama and Qwen2 directories: description, tensors in our order, end tokens, every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_tests.meadow.compiler.llama_checkpoint import config_of, llama_weights
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint
from meadow.spec.model import ModelDescription
from workbench.campaigns.llama_files import write_directory

LAYER = "model.layers.0.self_attn."


def written(directory: Path, **change: Any) -> Path:
    """A Llama directory whose configuration says something else; a head if it says so."""
    config = config_of("llama", "width72", **change)
    tied = config["tie_word_embeddings"]
    weights = llama_weights(config_of("llama", "width72", tie_word_embeddings=tied))
    return write_directory(directory, config, weights)


def test_sizes_are_read_and_what_is_left_out_is_derived(tmp_path: Path) -> None:
    found = load_checkpoint(written(tmp_path / "a")).description
    assert (found.architecture, found.width, found.heads, found.kv_heads) == ("llama", 72, 9, 3)
    assert (found.head_dim, found.hidden, found.layers, found.vocabulary) == (8, 172, 2, 300)
    assert (found.norm, found.norm_epsilon, found.activation) == ("rms", 1e-5, "silu")
    assert found.gated and found.rotary_base == 1000.0 and not found.rotary_divisors
    assert not found.tied_head and found.position_offset == 0
    derived = written(tmp_path / "b", head_dim=..., rope_theta=..., rms_norm_eps=...)
    other = load_checkpoint(derived).description
    assert (other.head_dim, other.rotary_base, other.norm_epsilon) == (8, 10000.0, 1e-6)
    assert ModelDescription.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_rows_of_a_rotary_pair_become_neighbours(tmp_path: Path, architecture: str) -> None:
    config = config_of(architecture, "width72")
    weights = llama_weights(config)
    found = load_checkpoint(write_directory(tmp_path, config, weights)).tensors
    for ours, theirs in (("q", "q_proj"), ("k", "k_proj")):
        stored, wanted = weights[f"{LAYER}{theirs}.weight"], found[f"layers.0.{ours}.weight"]
        for head in range(len(stored) // 8):
            for pair in range(4):
                row = 8 * head + pair
                np.testing.assert_array_equal(wanted[8 * head + 2 * pair], stored[row])
                np.testing.assert_array_equal(wanted[8 * head + 2 * pair + 1], stored[row + 4])
    np.testing.assert_array_equal(found["layers.0.v.weight"], weights[f"{LAYER}v_proj.weight"])
    if architecture == "qwen2":
        bias = weights[f"{LAYER}k_proj.bias"].reshape(3, 2, 4)
        expected = bias.transpose(0, 2, 1).reshape(-1)
        np.testing.assert_array_equal(found["layers.0.k.bias"], expected)
        np.testing.assert_array_equal(found["layers.1.v.bias"].shape, (24,))
    assert ("layers.0.k.bias" in found) == (architecture == "qwen2")
    assert "layers.0.o.bias" not in found and "layers.0.fc1.bias" not in found
    for ours, theirs in (("fc1", "gate_proj"), ("up", "up_proj"), ("fc2", "down_proj")):
        stored = weights[f"model.layers.1.mlp.{theirs}.weight"]
        np.testing.assert_array_equal(found[f"layers.1.{ours}.weight"], stored)


def test_shards_hold_the_same_model(tmp_path: Path) -> None:
    config = config_of("llama", "deep")
    weights = llama_weights(config)
    whole = load_checkpoint(write_directory(tmp_path / "whole", config, weights))
    parts = load_checkpoint(write_directory(tmp_path / "parts", config, weights, shards=3))
    assert list(parts.tensors) == list(whole.tensors)
    for name, array in whole.tensors.items():
        np.testing.assert_array_equal(parts.tensors[name], array)


def test_a_tied_head_is_no_tensor(tmp_path: Path) -> None:
    found = load_checkpoint(written(tmp_path, tie_word_embeddings=True))
    assert found.description.tied_head and "head" not in found.tensors


@pytest.mark.parametrize("field", ["rope_scaling", "rope_parameters"])
def test_scaling_of_rotary_positions_is_read(tmp_path: Path, field: str) -> None:
    linear = {"rope_type": "linear", "factor": 4.0}
    found = load_checkpoint(written(tmp_path / "a", **{field: linear})).description
    assert found.rotary_divisors == (4.0, 4.0, 4.0, 4.0)
    assert ModelDescription.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    plain = {"rope_type": "default", "rope_theta": 500.0}
    found = load_checkpoint(written(tmp_path / "b", **{field: plain}, rope_theta=...)).description
    assert found.rotary_divisors == () and found.rotary_base == 500.0
    assert "rotary_divisors" not in found.to_dict()


def test_end_tokens_are_a_list(tmp_path: Path) -> None:
    directory = written(tmp_path, eos_token_id=7)
    (directory / "generation_config.json").write_text('{"eos_token_id": [5, 6, 5]}')
    found = load_checkpoint(directory)
    assert found.end_tokens == (5, 6) and found.description.eos_token == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rope_scaling": {"type": "yarn", "factor": 2}},
            "must be one of default, linear, llama3, not 'yarn'",
        ),
        (
            {"rope_scaling": {"type": "linear"}},
            "factor of the rotary scaling must be above 0, not None",
        ),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "low_freq_factor of the rotary"),
        ({"rope_scaling": 3}, "rope_scaling of config.json must be an object, not 3"),
        ({"rope_theta": "x"}, "rope_theta of config.json must be a number, not 'x'"),
        ({"rope_theta": float("inf")}, "rope_theta of config.json must be a number, not inf"),
        ({"rope_theta": 1}, "rotary_base must be 0 or above 1, not 1"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1.0, not 0.5"),
        ({"attention_bias": True}, "attention_bias must be False, not True"),
        ({"mlp_bias": True}, "mlp_bias must be False, not True"),
        ({"use_sliding_window": True}, "use_sliding_window must be False, not True"),
        (
            {"layer_types": ["sliding_attention"]},
            "must be 'full_attention', not 'sliding_attention'",
        ),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu', not 'gelu'"),
        ({"num_attention_heads": 0}, "num_attention_heads must be at least 1, not 0"),
        ({"num_attention_heads": 7, "head_dim": ...}, "must divide hidden_size .72. .* not 7"),
        ({"num_key_value_heads": 4}, "heads must be a multiple of kv_heads, not 9 and 4"),
        ({"head_dim": 7}, "head_dim with rotary positions must be even, not 7"),
        ({"head_dim": 16}, r"layers.0.self_attn.q_proj.weight must have the shape \[144, 72\]"),
        (
            {"intermediate_size": ...},
            "intermediate_size of config.json must be an integer, not None",
        ),
        ({"num_hidden_layers": 3}, r"must hold layers\.2\.input_layernorm\.weight of shape \[72\]"),
        ({"num_hidden_layers": 1}, r"a Llama model has no tensor layers\.1\."),
        ({"model_type": "qwen2"}, r"must hold layers\.0\.self_attn\.q_proj\.bias of shape \[72\]"),
        ({"bos_token_id": 300}, "bos_token must be below the vocabulary of 300, not 300"),
        ({"eos_token_id": [2, 300]}, "an end token must be below the vocabulary of 300, not 300"),
        ({"eos_token_id": [2, -1]}, "an end token must be below the vocabulary of 300, not -1"),
        ({"hidden_size": 10**400}, r"hidden_size of config.json must be below 2\^63, not 10{59}$"),
        ({"rms_norm_eps": 10**400}, "rms_norm_eps of config.json must be a number, not 10{59}$"),
        ({"rope_theta": 10**400}, "rope_theta of config.json must be a number, not 10{59}$"),
        ({"mlp_bias": 10**400}, "mlp_bias must be False, not 10{59}$"),
        ({"hidden_act": "x" * 400}, "hidden_act must be 'silu', not 'x{59}$"),
        ({"tie_word_embeddings": "x" * 400}, "must be true or false, not 'x{59}$"),
        ({"rope_scaling": {"type": "linear", "factor": 10**400}}, "must be above 0, not 10{59}$"),
        (
            {"rope_scaling": {"type": "linear", "factor": 1e-310}},
            "rotary_divisors must be at least 1e-30, not 1e-310",
        ),
    ],
)
def test_what_is_not_imported_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    config = config_of("llama", "width72")
    directory = write_directory(tmp_path, config, llama_weights(config))
    changed = {key: value for key, value in (config | change).items() if value is not ...}
    (directory / "config.json").write_text(json.dumps(changed))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(directory)


def test_a_value_that_is_no_number_is_refused(tmp_path: Path) -> None:
    config = config_of("qwen2", "deep")
    weights = llama_weights(config)
    weights["model.layers.3.mlp.up_proj.weight"][2, 3] = np.inf
    with pytest.raises(CheckpointError, match=r"3\.mlp\.up_proj\.weight must hold finite .* inf"):
        load_checkpoint(write_directory(tmp_path, config, weights))
