# SPDX-License-Identifier: Apache-2.0
# pyright: reportMissingImports=false
"""Records what transformers computes for small random OPT models: ``python record_opt.py``.

Needs torch and transformers. Writes ``vectors/opt_{name}.npz`` with ``config`` (config.json as
text), ``tokens`` ``[n]``, ``logits`` ``[n, vocabulary]`` float32 and ``weights/{name}`` float16
under the names of the checkpoint. All parameters are random, biases and norms included, since
transformers starts them at 0 and 1, where mistakes do not show.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

__all__ = ["main"]

VECTORS = Path(__file__).parent / "vectors"

# Head dimension 16; a width that is no multiple of 64; more layers.
SHAPES: dict[str, dict[str, Any]] = {
    "head16": {"hidden_size": 32, "num_attention_heads": 2, "ffn_dim": 64, "num_hidden_layers": 2},
    "width80": {"hidden_size": 80, "num_attention_heads": 5, "ffn_dim": 96, "num_hidden_layers": 1},
    "deep": {"hidden_size": 24, "num_attention_heads": 3, "ffn_dim": 40, "num_hidden_layers": 6},
}


def randomise(model: torch.nn.Module, generator: np.random.Generator) -> None:
    """Gives every parameter a random value that float16 holds exactly.

    Matrices are scaled to keep the size of what they multiply, norm weights lie around 1.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if len(shape) == 2 and "embed" not in name:
                values = generator.normal(0, 1.5 / shape[1] ** 0.5, shape)
            elif "layer_norm.weight" in name:
                values = generator.normal(1, 0.3, shape)
            else:
                values = generator.normal(0, 0.4, shape)
            parameter.copy_(torch.from_numpy(values.astype(np.float16).astype(np.float32)))


def record(name: str, shape: dict[str, Any], seed: int) -> Path:
    """Builds one model, runs it and writes its file."""
    config = transformers.OPTConfig(
        vocab_size=48, max_position_embeddings=24, dropout=0.0, word_embed_proj_dim=None, **shape
    )
    model = transformers.OPTForCausalLM(config).eval()
    generator = np.random.default_rng(seed)
    randomise(model, generator)
    tokens = generator.integers(0, config.vocab_size, config.max_position_embeddings)
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens)[None]).logits[0].numpy()
    # The head is tied: its matrix is stored once, as in a checkpoint.
    weights = {
        f"weights/{key}": value.numpy().astype(np.float16)
        for key, value in model.state_dict().items()
        if key != "lm_head.weight"
    }
    kept = config.to_dict()
    kept.pop("_name_or_path", None)
    path = VECTORS / f"opt_{name}.npz"
    np.savez_compressed(
        path,
        config=np.array(json.dumps(kept, sort_keys=True)),
        tokens=tokens.astype(np.int32),
        logits=logits,
        **weights,
    )
    return path


def main() -> None:
    """Records all shapes."""
    VECTORS.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    for seed, (name, shape) in enumerate(SHAPES.items(), start=1):
        path = record(name, shape, seed)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
