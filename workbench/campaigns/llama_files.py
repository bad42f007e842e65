# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of random weights as Llama and Qwen2 are published: a directory in Hugging Face's
layout, or a GGUF file.

The GGUF file is written as llama.cpp's converter does it: of Llama's q and k the rows of each head
are permuted, those of Qwen2 are not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

__all__ = ["add_value", "random_weights", "write_directory", "write_gguf"]

_GGUF_MODULES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GGUF_OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def random_weights(config: dict[str, Any], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights of a config.json under the names of a directory, values that float16 holds,
    with which activations stay near 1.
    """
    width, hidden = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim") or width // config["num_attention_heads"]
    queries = config["num_attention_heads"] * head_dim
    keys = config["num_key_value_heads"] * head_dim
    found: dict[str, np.ndarray] = {}

    def draw(name: str, *shape: int, around: float = 0.0, spread: float = 0.3) -> None:
        values = random.normal(around, spread, shape)
        found[name] = values.astype(np.float16).astype(np.float32)

    draw("model.embed_tokens.weight", config["vocab_size"], width, spread=1.0)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            draw(f"{layer}{norm}.weight", width, around=1.0)
        for module, outputs, inputs in (
            ("self_attn.q_proj", queries, width),
            ("self_attn.k_proj", keys, width),
            ("self_attn.v_proj", keys, width),
            ("self_attn.o_proj", width, queries),
            ("mlp.gate_proj", hidden, width),
            ("mlp.up_proj", hidden, width),
            ("mlp.down_proj", width, hidden),
        ):
            draw(f"{layer}{module}.weight", outputs, inputs, spread=1.2 / inputs**0.5)
            if config["model_type"] == "qwen2" and module[-6:-5] in "qkv":
                draw(f"{layer}{module}.bias", outputs)
    draw("model.norm.weight", width, around=1.0)
    if not config["tie_word_embeddings"]:
        draw("lm_head.weight", config["vocab_size"], width, spread=1.2 / width**0.5)
    return found


def write_directory(
    directory: Path, config: dict[str, Any], weights: dict[str, np.ndarray], *, shards: int = 1
) -> Path:
    """A checkpoint directory, of several shards with an index where they are asked for."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if shards == 1:
        save_file(weights, directory / "model.safetensors")
        return directory
    places = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {key: weights[key] for key in list(weights)[shard::shards]}
        save_file(part, directory / name)
        places |= dict.fromkeys(part, name)
    index = {"metadata": {}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return directory


def write_gguf(
    path: Path,
    config: dict[str, Any],
    weights: dict[str, np.ndarray],
    *,
    metadata: dict[str, Any] | None = None,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    divisors: np.ndarray | None = None,
) -> Path:
    """A GGUF file of the same model.

    metadata: further keys; ints become uint32, `...` removes one of the usual keys; kind: of the
    matrices; divisors: of the rotary frequencies.
    """
    architecture = config["model_type"]
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    values: dict[str, Any] = {
        "general.architecture": architecture,
        f"{architecture}.block_count": config["num_hidden_layers"],
        f"{architecture}.context_length": config["max_position_embeddings"],
        f"{architecture}.embedding_length": config["hidden_size"],
        f"{architecture}.feed_forward_length": config["intermediate_size"],
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": config["num_key_value_heads"],
        f"{architecture}.attention.key_length": head_dim,
        f"{architecture}.attention.value_length": head_dim,
        f"{architecture}.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        f"{architecture}.rope.freq_base": config["rope_theta"],
        f"{architecture}.rope.dimension_count": head_dim,
        "tokenizer.ggml.bos_token_id": config["bos_token_id"],
        "tokenizer.ggml.eos_token_id": config["eos_token_id"],
    }
    values |= metadata or {}
    architecture = values.pop("general.architecture")
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        if value is not ...:
            add_value(writer, key, value)
    for name, array in weights.items():
        stored, rows = _GGUF_OUTSIDE.get(name), array
        if stored is None:
            _, _, index, *module, part = name.split(".")
            stored = f"blk.{index}.{_GGUF_MODULES['.'.join(module)]}.{part}"
            if architecture == "llama" and module[-1] in ("q_proj", "k_proj"):
                rows = _permuted(array, array.shape[0] // head_dim)
        if array.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(stored, gguf.quantize(rows, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored, rows)
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _permuted(array: np.ndarray, heads: int) -> np.ndarray:
    """As `LlamaModel.permute` of llama.cpp's converter, letter for letter."""
    return (
        array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
        .swapaxes(1, 2)
        .reshape(array.shape)
    )


def add_value(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """A value of the metadata by its type."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
