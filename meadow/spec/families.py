# SPDX-License-Identifier: Apache-2.0
"""Families of models: what the equations of each one fix. The one table of them.

How to add one: docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """The fields of a ModelDescription that are the same in all models of a family.

    activations : names that `activation` may have, the usual one first.
    norm, norm_order, gated, causal, outputs, position_offset : as in ModelDescription.
    rotary : positions are rotary, `rotary_base` is a size; else learned, and it is 0.
    grouped_keys : there may be fewer KV heads than heads, and any width.
    biases : matrices have biases and norms offsets.
    biased : parts of a layer whose matrices have biases where `biases` is false, a letter each.
    folds_mean : the norm may be "rms" too, once the mean of the residual is folded into the weights
        (`meadow.compiler.rotation`).
    """

    activations: tuple[str, ...]
    norm: str = "layer"
    norm_order: str = "pre"
    gated: bool = False
    causal: bool = True
    outputs: str = "tokens"
    position_offset: int = 0
    rotary: bool = False
    grouped_keys: bool = False
    biases: bool = True
    biased: str = ""
    folds_mean: bool = False


FAMILIES: Mapping[str, Family] = {
    # OPT (arXiv 2205.01068): pre-norm decoder, learned positions, biases.
    "opt": Family(activations=("relu",), position_offset=2, folds_mean=True),
    # LLaMA (2302.13971): RMS norm, rotary positions, gated SiLU, no biases.
    "llama": Family(
        activations=("silu",),
        norm="rms",
        gated=True,
        rotary=True,
        grouped_keys=True,
        biases=False,
    ),
    # ViT/DeiT (2010.11929): pre-norm encoder, class token.
    "vit": Family(activations=("gelu",), causal=False, folds_mean=True),
    # BERT (1810.04805): post-norm encoder.
    "bert": Family(activations=("gelu",), norm_order="post", causal=False, outputs="hidden"),
    # Qwen2 (2407.10671): LLaMA with biases on the projections to Q, K and V.
    "qwen2": Family(
        activations=("silu",),
        norm="rms",
        gated=True,
        rotary=True,
        grouped_keys=True,
        biases=False,
        biased="qkv",
    ),
}
