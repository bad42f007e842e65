# SPDX-License-Identifier: Apache-2.0
"""Import of checkpoints: names, types, shards, and every refusal by its message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hw_tests.seeds import salted
from meadow.compiler.checkpoint import CheckpointError, load_checkpoint

CONFIG: dict[str, Any] = {
    "model_type": "opt",
    "vocab_size": 20,
    "hidden_size": 8,
    "word_embed_proj_dim": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "ffn_dim": 12,
    "max_position_embeddings": 10,
    "activation_function": "relu",
    "do_layer_norm_before": True,
    "bos_token_id": 2,
    "eos_token_id": 2,
    "dropout": 0.1,
}
PREFIX = "model.decoder."


def opt_weights() -> dict[str, np.ndarray]:
    """Random weights under the names of a checkpoint, float32 values that float16 holds."""
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (20, 8),
        "embed_positions.weight": (12, 8),
        "final_layer_norm.weight": (8,),
        "final_layer_norm.bias": (8,),
    }
    for layer in ("layers.0", "layers.1"):
        for module, outputs, inputs in (
            ("self_attn.q_proj", 8, 8),
            ("self_attn.k_proj", 8, 8),
            ("self_attn.v_proj", 8, 8),
            ("self_attn.out_proj", 8, 8),
            ("fc1", 12, 8),
            ("fc2", 8, 12),
        ):
            shapes[f"{layer}.{module}.weight"] = (outputs, inputs)
            shapes[f"{layer}.{module}.bias"] = (outputs,)
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes[f"{layer}.{norm}.weight"] = shapes[f"{layer}.{norm}.bias"] = (8,)
    generator = np.random.default_rng(salted(11))
    return {
        PREFIX + name: generator.normal(size=shape).astype(np.float16).astype(np.float32)
        for name, shape in shapes.items()
    }


def write(directory: Path, weights: dict[str, np.ndarray] | None = None, **change: Any) -> Path:
    """Writes a checkpoint; ``change`` replaces keys of the configuration."""
    config = {key: value for key, value in (CONFIG | change).items() if value is not ...}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(opt_weights() if weights is None else weights, directory / "model.safetensors")
    return directory


def write_raw(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    """A safetensors file by hand, for types that NumPy does not have."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape, content) in tensors.items():
        end = position + len(content)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    content = b"".join(content for _, _, content in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


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


@pytest.mark.parametrize("prefix", ["decoder.", ""])
def test_other_prefixes(tmp_path: Path, prefix: str) -> None:
    renamed = {name.replace(PREFIX, prefix): value for name, value in opt_weights().items()}
    renamed[f"{prefix}version"] = np.zeros(1, np.float32)
    found = load_checkpoint(write(tmp_path, renamed))
    np.testing.assert_array_equal(
        found.tensors["layers.1.fc1.weight"], renamed[f"{prefix}layers.1.fc1.weight"]
    )


def test_float16(tmp_path: Path) -> None:
    weights = opt_weights()
    found = load_checkpoint(write(tmp_path, {k: v.astype(np.float16) for k, v in weights.items()}))
    assert all(array.dtype == np.float32 for array in found.tensors.values())
    np.testing.assert_array_equal(
        found.tensors["embed_tokens"], weights[f"{PREFIX}embed_tokens.weight"]
    )


def test_bfloat16(tmp_path: Path) -> None:
    """bfloat16 keeps sign, exponent and 7 mantissa bits: cutting float32 is exact for those."""
    write(tmp_path)
    cut = {k: v.view(np.uint32) >> 16 for k, v in opt_weights().items()}
    write_raw(
        tmp_path / "model.safetensors",
        {k: ("BF16", list(v.shape), v.astype("<u2").tobytes()) for k, v in cut.items()},
    )
    found = load_checkpoint(tmp_path).tensors["layers.0.q.weight"]
    kept = cut[f"{PREFIX}layers.0.self_attn.q_proj.weight"].astype(np.uint32) << 16
    np.testing.assert_array_equal(found, kept.view(np.float32))
    original = opt_weights()[f"{PREFIX}layers.0.self_attn.q_proj.weight"]
    np.testing.assert_allclose(found, original, rtol=2**-7)


def test_shards(tmp_path: Path) -> None:
    weights = opt_weights()
    whole = load_checkpoint(write(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    names = list(weights)
    index = {}
    for number, part in enumerate((names[:7], names[7:]), start=1):
        shard = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, tmp_path / shard)
        index |= dict.fromkeys(part, shard)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    sharded = load_checkpoint(tmp_path)
    assert list(sharded.tensors) == list(whole.tensors)
    for name, array in whole.tensors.items():
        np.testing.assert_array_equal(sharded.tensors[name], array)

    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"there is no 'model-00002-of-00002\.safetensors'"):
        load_checkpoint(tmp_path)
    path.write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"must name files of its own directory"):
        load_checkpoint(tmp_path)
    path.write_text(json.dumps({"weight_map": {}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"must hold a weight_map, not \{\}"):
        load_checkpoint(tmp_path)


def test_tokenizer_is_passed_on(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b'{"version": "1.0"}')
    assert load_checkpoint(tmp_path).tokenizer_json == b'{"version": "1.0"}'


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
        ({"model_type": "llama"}, "model_type must be 'opt', not 'llama'"),
        ({"model_type": ...}, "model_type must be 'opt', not None"),
        ({"do_layer_norm_before": False}, "do_layer_norm_before must be True, not False"),
        ({"_remove_final_layer_norm": True}, "_remove_final_layer_norm must be False, not True"),
        ({"activation_function": "gelu"}, "activation_function must be 'relu', not 'gelu'"),
        ({"word_embed_proj_dim": 4}, r"word_embed_proj_dim must equal hidden_size \(8\), not 4"),
        ({"num_attention_heads": 3}, r"num_attention_heads must divide hidden_size \(8\), not 3"),
        ({"num_attention_heads": 0}, r"num_attention_heads must divide hidden_size \(8\), not 0"),
        ({"ffn_dim": ...}, "ffn_dim of config.json must be an integer, not None"),
        ({"ffn_dim": "12"}, "ffn_dim of config.json must be an integer, not '12'"),
        ({"eos_token_id": [2]}, r"eos_token_id of config.json must be an integer, not \[2\]"),
        ({"eos_token_id": 20}, "eos_token must be below the vocabulary of 20, not 20"),
        ({"num_hidden_layers": 0}, "layers must be at least 1, not 0"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings .* must be true or false, not 'no'"),
        ({"enable_bias": 2}, "enable_bias of config.json must be true or false, not 2"),
        ({"num_hidden_layers": 10**30}, "hold tensors of 10{30} layers, not 36 tensors in all"),
        ({"num_hidden_layers": 1}, r"an OPT model has no tensor layers\.1\."),
        ({"num_hidden_layers": 3}, r"must hold layers\.2\.self_attn_layer_norm\.weight of shape"),
        ({"enable_bias": False}, r"an OPT model has no tensor layers\.0\.fc1\.bias"),
    ],
)
def test_configuration_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(write(tmp_path, **change))


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must be a directory; there is none at .*absent"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"must hold config.json; there is none in"):
        load_checkpoint(tmp_path)
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"must hold model.safetensors or .*index.json; there is neither"
    ):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json must be valid JSON"),
        ("\xff", "config.json must be valid JSON"),
        ("[" * 100_000, "config.json must be valid JSON: maximum recursion depth"),
        ("[1]", r"config.json must hold a JSON object, not \[1\]"),
    ],
)
def test_damaged_configuration(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


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


def test_other_types_are_refused(tmp_path: Path) -> None:
    weights = opt_weights()
    name = f"{PREFIX}embed_tokens.weight"
    with pytest.raises(CheckpointError, match=f"{name} must be of F32, F16, BF16, not F64"):
        load_checkpoint(write(tmp_path, weights | {name: weights[name].astype(np.float64)}))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    content = path.read_bytes()
    for kept in (0, 7, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(CheckpointError, match=r"model.safetensors is truncated"):
            load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32"}, "its header is unreadable"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "its header is unreadable"),
        ({"dtype": "F32", "shape": 4, "data_offsets": [0, 4]}, "its header is unreadable"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "needs 8 bytes, not 4"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "needs 4 bytes, not 0"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0]}, "its header is unreadable"),
        ([], "its header is unreadable"),
        ({"dtype": "F32", "shape": [1] * 70, "data_offsets": [0, 4]}, "x has 70 dimensions"),
        ({"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}, "end at data byte 2 of 4"),
        ({"dtype": "F16", "shape": [1], "data_offsets": [2, 4]}, "gap .* at data byte 0"),
    ],
)
def test_damaged_header(tmp_path: Path, entry: Any, message: str) -> None:
    write(tmp_path)
    text = json.dumps({"x": entry}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(CheckpointError, match=f"is corrupt: .*{message}"):
        load_checkpoint(tmp_path)


def test_header_that_is_no_json(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    path.write_bytes((4).to_bytes(8, "little") + b"\xff{}}" + bytes(9))
    with pytest.raises(CheckpointError, match="is corrupt: its header is unreadable"):
        load_checkpoint(tmp_path)
    path.write_bytes((10**5).to_bytes(8, "little") + b"[" * 10**5)
    with pytest.raises(CheckpointError, match="is corrupt: its header is unreadable"):
        load_checkpoint(tmp_path)


def test_a_byte_too_many_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="is corrupt: its tensors end at data byte"):
        load_checkpoint(tmp_path)


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    weights = opt_weights()
    weights["decoder.layers.0.fc1.bias"] = weights[f"{PREFIX}layers.0.fc1.bias"] + 1
    with pytest.raises(CheckpointError, match=r"must hold layers\.0\.fc1\.bias once, not twice"):
        load_checkpoint(write(tmp_path, weights))
