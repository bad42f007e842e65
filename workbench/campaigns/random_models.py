# SPDX-License-Identifier: Apache-2.0
"""Random model descriptions of every family, for campaigns of random runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meadow.spec.config import AcceleratorConfig
from meadow.spec.model import ModelDescription

__all__ = ["SOAK_SIZES", "TORTURE_SIZES", "ModelSizes", "draw_description"]


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Largest numbers that are drawn: `heads` of K and V, query heads of one (`group`), all query
    channels together (`head_channels`), `width` of a Llama, `hidden`, `vocabulary`."""

    heads: int
    group: int
    head_channels: int
    width: int
    hidden: int
    vocabulary: int


SOAK_SIZES = ModelSizes(heads=4, group=8, head_channels=512, width=300, hidden=399, vocabulary=299)
TORTURE_SIZES = ModelSizes(heads=2, group=3, head_channels=64, width=64, hidden=72, vocabulary=70)
"""A step takes some thousand cycles."""


def draw_description(
    random: np.random.Generator, architecture: str, config: AcceleratorConfig, sizes: ModelSizes
) -> ModelDescription:
    """A model of one layer that the configuration can hold."""
    llama = architecture == "llama"
    kv_heads = int(random.integers(1, sizes.heads + 1))
    group = int(random.integers(1, sizes.group + 1)) if llama else 1
    heads = kv_heads * group
    largest = min(config.max_head_dim, max(2, sizes.head_channels // heads))
    named = [size for size in (32, 64, 128) if size <= largest]
    odd = 2 * int(random.integers(1, largest // 2 + 1))
    head_dim = int(random.choice(named)) if named and random.random() < 0.6 else odd
    width = heads * head_dim
    if llama:
        width = int(random.integers(4, sizes.width + 1))
    return ModelDescription.of_family(
        architecture,
        layers=1,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        hidden=int(random.integers(8, sizes.hidden + 1)),
        vocabulary=int(random.integers(5, sizes.vocabulary + 1)),
        max_positions=config.max_context,
        bos_token=0,
        eos_token=1,
    )
