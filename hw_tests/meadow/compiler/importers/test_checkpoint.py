# SPDX-License-Identifier: Apache-2.0
"""Import of a whole checkpoint, and which files of its folder take part."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hw_tests.meadow.compiler.opt_checkpoint import PREFIX, opt_weights, write
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import (
    CheckpointError,
    checkpoint_files,
    load_checkpoint,
    read_description,
)


def test_description_and_names(tmp_path: Path) -> None:
    weights = opt_weights()
    checkpoint = load_checkpoint(write(tmp_path))
    d = checkpoint.description
    assert (d.layers, d.width, d.heads, d.kv_heads, d.head_dim) == (2, 8, 2, 2, 4)
    assert (d.hidden, d.vocabulary, d.max_positions, d.position_offset) == (12, 20, 10, 2)
    assert (d.norm, d.norm_epsilon, d.activation, d.tied_head) == ("layer", 1e-5, "relu", True)
    assert (d.bos_token, d.eos_token) == (2, 2)
    assert checkpoint.tokenizer_json is None
    assert list(checkpoint.tensors) == list(d.tensor_shapes)
    for ours, theirs in {
        "embed_tokens": "embed_tokens.weight",
        "embed_positions": "embed_positions.weight",
        "layers.1.q.weight": "layers.1.self_attn.q_proj.weight",
        "layers.1.k.bias": "layers.1.self_attn.k_proj.bias",
        "layers.0.v.weight": "layers.0.self_attn.v_proj.weight",
        "layers.0.o.weight": "layers.0.self_attn.out_proj.weight",
        "layers.0.attention_norm.bias": "layers.0.self_attn_layer_norm.bias",
        "layers.0.mlp_norm.weight": "layers.0.final_layer_norm.weight",
        "layers.1.fc1.weight": "layers.1.fc1.weight",
        "layers.1.fc2.bias": "layers.1.fc2.bias",
        "final_norm.weight": "final_layer_norm.weight",
    }.items():
        assert checkpoint.tensors[ours].dtype == np.float32
        np.testing.assert_array_equal(checkpoint.tensors[ours], weights[PREFIX + theirs])


def test_tokenizer_is_passed_on(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b'{"version": "1.0"}')
    assert load_checkpoint(tmp_path).tokenizer_json == b'{"version": "1.0"}'


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"must be a directory or a GGUF file; there is none at .*absent"
    ):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"must hold config.json; there is none in"):
        load_checkpoint(tmp_path)
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"must hold model.safetensors or .*index.json; there is neither"
    ):
        load_checkpoint(tmp_path)


def test_only_files_of_the_model_take_part(tmp_path: Path) -> None:
    write(tmp_path)
    names = {"config.json", "model.safetensors"}
    assert {path.name for path in checkpoint_files(tmp_path)} == names
    # A terabyte that takes no room, and a name that is no UTF-8.
    with (tmp_path / "optimizer.pt").open("wb") as file:
        file.truncate(1 << 40)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/note-\xff.txt")).write_text("a note")
    (tmp_path / "runs").mkdir()
    assert {path.name for path in checkpoint_files(tmp_path)} == names
    assert load_checkpoint(tmp_path).description.width == 8


def test_an_import_holds_the_model_once(tmp_path: Path) -> None:
    weights = opt_weights()
    random = np.random.default_rng(salted(1))
    embedding = random.normal(size=(60_000, 8)).astype(np.float16)
    weights |= {f"{PREFIX}embed_tokens.weight": embedding, "lm_head.weight": embedding}
    write(tmp_path, weights, vocab_size=60_000)
    tracemalloc.start()
    found = load_checkpoint(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Two copies while they are compared; nothing of the second stays.
    assert found.tensors["embed_tokens"].nbytes == 60_000 * 8 * 4
    assert peak < 3 * found.tensors["embed_tokens"].nbytes


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ffn_dim", 10**15, r"layers\.0\.fc1\.weight must have the shape \[1000000000000000, 8\]"),
        ("num_hidden_layers", 10**9, "must hold tensors of 1000000000 layers, not 36"),
        (
            "max_position_embeddings",
            10**12,
            r"embed_positions\.weight must have the shape \[1000000000002",
        ),
        ("vocab_size", 10**18, r"embed_tokens\.weight must have the shape \[1000000"),
    ],
)
def test_sizes_are_those_of_the_weights_before_anybody_plans_for_them(
    tmp_path: Path, key: str, value: int, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_description(write(tmp_path, **{key: value}))
