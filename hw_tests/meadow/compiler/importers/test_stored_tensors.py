# SPDX-License-Identifier: Apache-2.0
"""Names of tensors whatever wraps the model, and tensors that are there twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hw_tests.meadow.compiler.opt_checkpoint import PREFIX, opt_weights, write, write_raw
from hw_tests.seeds import salted
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
        match=r"the index places model\.decoder\.layers\.9\.fc1\.bias in a\.safetensors, which "
        r"lacks",
    ):
        StoredTensors([path], index)


def as_bfloat16(values: np.ndarray) -> np.ndarray:
    """The bits of float32 values rounded to bfloat16, ties to even, as a text-book does it."""
    bits = values.view(np.uint32).astype(np.int64)
    low, even = bits & 0xFFFF, bits >> 16
    up = (low > 0x8000) | ((low == 0x8000) & (even % 2 == 1))
    return (even + up).astype("<u2")


def in_types(path: Path, exact: np.ndarray, order: str) -> StoredTensors:
    """The same tensor in two types, of which `order` names the first and the second."""
    contents = {
        "F32": exact.astype("<f4").tobytes(),
        "F16": exact.astype("<f2").tobytes(),
        "BF16": as_bfloat16(exact).tobytes(),
    }
    names = ("a.norm.weight", "b.norm.weight")
    shape = list(exact.shape)
    write_raw(
        path,
        {
            name: (dtype, shape, contents[dtype])
            for name, dtype in zip(names, order.split(), strict=True)
        },
    )
    return StoredTensors([path], {})


@pytest.mark.parametrize("order", ["F32 F16", "F16 F32", "F32 BF16", "BF16 F32"])
def test_of_one_tensor_in_two_types_the_finer_counts(tmp_path: Path, order: str) -> None:
    exact = np.random.default_rng(salted(5)).normal(size=(6, 8)).astype(np.float32)
    found = in_types(tmp_path / "x.safetensors", exact, order)
    np.testing.assert_array_equal(found.read("norm.weight"), exact)


def test_two_types_do_not_excuse_two_values(tmp_path: Path) -> None:
    exact = np.ones((2, 2), np.float32)
    path = tmp_path / "x.safetensors"
    contents = exact.tobytes(), (exact + 2**-9).astype("<f2").tobytes()
    write_raw(
        path,
        {
            "a.norm.weight": ("F32", [2, 2], contents[0]),
            "norm.weight": ("F16", [2, 2], contents[1]),
        },
    )
    with pytest.raises(CheckpointError, match=r"norm\.weight once, not twice with different"):
        StoredTensors([path], {})


@pytest.mark.parametrize("head", ["<f4", "<f2"])
def test_a_tied_head_in_another_type_is_the_embedding(tmp_path: Path, head: str) -> None:
    """Whichever of the two is stored more finely counts, under either name."""
    weights, twin = opt_weights(), f"{PREFIX}embed_tokens.weight"
    exact = weights[twin] * np.float32(1.0001)
    coarse = "<f2" if head == "<f4" else "<f4"
    weights[twin], weights["lm_head.weight"] = exact.astype(coarse), exact.astype(head)
    found = load_checkpoint(write(tmp_path, weights)).tensors["embed_tokens"]
    np.testing.assert_array_equal(found, exact)


def test_a_tied_head_that_is_twice_no_number_is_called_that(tmp_path: Path) -> None:
    weights, twin = opt_weights(), f"{PREFIX}embed_tokens.weight"
    weights[twin][3, 2] = np.nan
    weights["lm_head.weight"] = weights[twin].copy()
    with pytest.raises(CheckpointError, match="must hold finite values only, not nan"):
        load_checkpoint(write(tmp_path, weights))
