# SPDX-License-Identifier: Apache-2.0
"""Random model descriptions of every family, for campaigns of random runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meadow.spec.config import AcceleratorConfig
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription

__all__ = ["SOAK_SIZES", "TORTURE_SIZES", "ModelSizes", "draw_architecture", "draw_description"]


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Largest numbers that are drawn: `heads` of K and V, query heads of one (`group`), all query
    channels together (`head_channels`), `width` where keys are grouped, `hidden`, `vocabulary`."""

    heads: int
    group: int
    head_channels: int
    width: int
    hidden: int
    vocabulary: int


SOAK_SIZES = ModelSizes(heads=4, group=8, head_channels=512, width=300, hidden=399, vocabulary=299)
TORTURE_SIZES = ModelSizes(heads=2, group=3, head_channels=64, width=64, hidden=72, vocabulary=70)
"""A step takes some thousand cycles."""


def draw_architecture(random: np.random.Generator) -> str:
    """A family; those whose query heads may share keys and values come up twice as often."""
    names = [name for name, family in FAMILIES.items() for _ in range(1 + family.grouped_keys)]
    return str(random.choice(names))


def draw_description(
    random: np.random.Generator,
    architecture: str,
    config: AcceleratorConfig,
    sizes: ModelSizes,
    *,
    head_dim: int | None = None,
    tied_head: bool = False,
) -> ModelDescription:
    """A model of one layer that the configuration can hold; head_dim: of every model, None draws
    it.
    """
    family = FAMILIES[architecture]
    sizes = replace(
        sizes,
        head_channels=min(sizes.head_channels, config.norm_channels),
        width=min(sizes.width, config.norm_channels),
    )
    kv_heads = int(random.integers(1, sizes.heads + 1))
    group = int(random.integers(1, sizes.group + 1)) if family.grouped_keys else 1
    if head_dim is not None:
        kv_heads = max(1, min(kv_heads, sizes.head_channels // head_dim))
        group = max(1, min(group, sizes.head_channels // (head_dim * kv_heads)))
    heads = kv_heads * group
    largest = min(config.max_head_dim, max(2, sizes.head_channels // heads))
    named = [size for size in (32, 64, 128) if size <= largest]
    odd = 2 * int(random.integers(1, largest // 2 + 1))
    drawn = int(random.choice(named)) if named and random.random() < 0.6 else odd
    head_dim = drawn if head_dim is None else head_dim
    width = heads * head_dim
    if family.grouped_keys:
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
        activation=str(random.choice(family.activations)),
        tied_head=tied_head,
        bos_token=0,
        eos_token=1,
    )
