# SPDX-License-Identifier: Apache-2.0
"""A small OPT checkpoint of random weights, of which a test changes what it is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from hw_tests.seeds import salted

__all__ = ["CONFIG", "PREFIX", "opt_weights", "write", "write_raw"]


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
