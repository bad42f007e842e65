# SPDX-License-Identifier: Apache-2.0
"""Names of tensors whatever wraps the model, and tensors that are there twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hw_tests.meadow.compiler.opt_checkpoint import PREFIX, opt_weights, write
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint
from meadow.compiler.importers.stored_tensors import StoredTensors, model_name


@pytest.mark.parametrize("prefix", ["decoder.", ""])
def test_other_prefixes(tmp_path: Path, prefix: str) -> None:
    renamed = {name.replace(PREFIX, prefix): value for name, value in opt_weights().items()}
    renamed[f"{prefix}version"] = np.zeros(1, np.float32)
    found = load_checkpoint(write(tmp_path, renamed))
    np.testing.assert_array_equal(
        found.tensors["layers.1.fc1.weight"], renamed[f"{prefix}layers.1.fc1.weight"]
    )


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    weights = opt_weights()
    weights["decoder.layers.0.fc1.bias"] = weights[f"{PREFIX}layers.0.fc1.bias"] + 1
    with pytest.raises(CheckpointError, match=r"must hold layers\.0\.fc1\.bias once, not twice"):
        load_checkpoint(write(tmp_path, weights))


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "transformer.", "module._orig_mod.model.decoder.", "a.b.c.d.e."],
)
def test_any_prefix_is_read(tmp_path: Path, prefix: str) -> None:
    renamed = {name.replace(PREFIX, prefix): value for name, value in opt_weights().items()}
    found = load_checkpoint(write(tmp_path, renamed)).tensors
    for name, array in load_checkpoint(write(tmp_path)).tensors.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("model.decoder.layers.11.fc1.bias", "layers.11.fc1.bias"),
        ("layers.0._fsdp_wrapped_module.fc1._orig_mod.bias", "layers.0.fc1.bias"),
        ("m.layers.3.final_layer_norm.weight", "layers.3.final_layer_norm.weight"),
        ("m.final_layer_norm.weight", "final_layer_norm.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("decoder.version", "decoder.version"),
        ("version", "version"),
        ("", ""),
    ],
)
def test_a_name_without_what_wraps_it(stored: str, name: str) -> None:
    assert model_name(stored) == name


def test_a_tensor_in_two_shards_must_be_the_same(tmp_path: Path) -> None:
    write(tmp_path)
    weights = opt_weights()
    whole = load_checkpoint(tmp_path).tensors
    twice = f"{PREFIX}embed_tokens.weight"
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(weights, first)
    save_file({twice: weights[twice]}, second)
    found = StoredTensors([first, second], {})
    np.testing.assert_array_equal(found.read("embed_tokens.weight"), whole["embed_tokens"])
    save_file({twice: weights[twice] + 1}, second)
    with pytest.raises(
        CheckpointError, match=r"embed_tokens\.weight once, not twice with different"
    ):
        StoredTensors([first, second], {})


def test_an_index_must_tell_the_truth(tmp_path: Path) -> None:
    weights = opt_weights()
    path = tmp_path / "a.safetensors"
    save_file(weights, path)
    index = dict.fromkeys([*weights, "model.decoder.layers.9.fc1.bias"], path.name)
    with pytest.raises(
        CheckpointError,
        match=r"the index places model\.decoder\.layers\.9\.fc1\.bias in a\.safetensors, which lacks",
    ):
        StoredTensors([path], index)
