# SPDX-License-Identifier: Apache-2.0
"""Descriptions of small models of every family, of which a test names only what matters to it."""

from __future__ import annotations

from typing import Any

from meadow.spec.model import ModelDescription

__all__ = ["describe"]

_FAMILIES: dict[str, dict[str, Any]] = {
    "opt": {"norm": "layer", "activation": "relu", "position_offset": 2, "tied_head": True},
    "llama": {
        "norm": "rms",
        "activation": "silu",
        "gated": True,
        "rotary_base": 10000.0,
        "tied_head": False,
    },
    "vit": {"norm": "layer", "activation": "gelu", "causal": False, "tied_head": False},
    "bert": {
        "norm": "layer",
        "norm_order": "post",
        "activation": "gelu",
        "causal": False,
        "outputs": "hidden",
        "tied_head": True,
    },
}


def describe(architecture: str, *, heads: int, head_dim: int, **sizes: Any) -> ModelDescription:
    """A family's rules with these sizes; the width is that of the heads unless given."""
    values = {
        "layers": 1,
        "width": heads * head_dim,
        "kv_heads": heads,
        "hidden": 64,
        "vocabulary": 50,
        "max_positions": 150,
        "position_offset": 0,
        "norm_epsilon": 1e-5,
        "bos_token": 0,
        "eos_token": 1,
    }
    values |= _FAMILIES[architecture] | sizes
    return ModelDescription(architecture=architecture, heads=heads, head_dim=head_dim, **values)
