# SPDX-License-Identifier: Apache-2.0
"""Descriptions of small models of every family, of which a test names only what matters to it."""

from __future__ import annotations

from typing import Any

from meadow.spec.model import ModelDescription

__all__ = ["describe"]


def describe(architecture: str, *, heads: int, head_dim: int, **sizes: Any) -> ModelDescription:
    """A family's rules with these sizes; the width is that of the heads unless given."""
    values = {
        "layers": 1,
        "hidden": 64,
        "vocabulary": 50,
        "max_positions": 150,
        "tied_head": architecture in ("opt", "bert"),
        "bos_token": 0,
        "eos_token": 1,
    }
    return ModelDescription.of_family(
        architecture, heads=heads, head_dim=head_dim, **values | sizes
    )
