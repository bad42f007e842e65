# SPDX-License-Identifier: Apache-2.0
"""Descriptions of small OPT-style decoders, of which a test names only what matters to it."""

from __future__ import annotations

from meadow.spec.model import ModelDescription

__all__ = ["opt_description"]


def opt_description(**sizes: int | bool) -> ModelDescription:
    """OPT's rules with these sizes; `kv_heads` are the heads unless given."""
    values: dict[str, int | bool] = {
        "kv_heads": sizes["heads"],
        "position_offset": 2,
        "tied_head": True,
        "bos_token": 2,
        "eos_token": 2,
    }
    return ModelDescription(
        architecture="opt",
        norm="layer",
        norm_epsilon=1e-5,
        activation="relu",
        **(values | sizes),  # pyright: ignore[reportArgumentType]
    )
