# SPDX-License-Identifier: Apache-2.0
"""Small Llama and Qwen2 checkpoints of random weights; `workbench.campaigns.llama_files` writes
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hw_tests.seeds import salted
from workbench.campaigns.llama_files import random_weights

__all__ = ["SHAPES", "config_of", "llama_weights"]

SHAPES: dict[str, dict[str, int]] = {
    "width72": {"width": 72, "heads": 9, "kv_heads": 3, "head_dim": 8, "hidden": 172, "layers": 2},
    "narrow": {"width": 40, "heads": 5, "kv_heads": 1, "head_dim": 64, "hidden": 44, "layers": 1},
    "deep": {"width": 48, "heads": 2, "kv_heads": 2, "head_dim": 24, "hidden": 36, "layers": 4},
}
"""Odd shapes: a width that is no multiple of 16; heads wider than the width; many layers."""

_TOKENS = 300


def config_of(architecture: str, shape: str, **change: Any) -> dict[str, Any]:
    """config.json of a shape; `change` replaces keys, `...` removes one."""
    size = SHAPES[shape]
    config: dict[str, Any] = {
        "model_type": architecture,
        "vocab_size": _TOKENS,
        "hidden_size": size["width"],
        "num_hidden_layers": size["layers"],
        "num_attention_heads": size["heads"],
        "num_key_value_heads": size["kv_heads"],
        "head_dim": size["head_dim"],
        "intermediate_size": size["hidden"],
        "max_position_embeddings": 64,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return {key: value for key, value in (config | change).items() if value is not ...}


def llama_weights(config: dict[str, Any], seed: int = 7) -> dict[str, np.ndarray]:
    """`random_weights` of a seed."""
    return random_weights(config, np.random.default_rng(salted(seed)))
