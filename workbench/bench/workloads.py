# SPDX-License-Identifier: Apache-2.0
"""Shapes of the models that MEADOW is measured on; sources: the models' published
configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meadow.spec.model import ModelDescription

__all__ = ["WORKLOADS", "workload"]


def _opt(**sizes: int) -> ModelDescription:
    """OPT (arXiv 2205.01068): facebook/opt-*."""
    return _decoder("opt", vocabulary=50272, tied_head=True, **sizes)


def _vit(**sizes: Any) -> ModelDescription:
    """DeiT (arXiv 2012.12877): 196 patches of 16x16 and the class token, 1000 classes."""
    return ModelDescription.of_family(
        "vit",
        layers=12,
        vocabulary=1000,
        max_positions=197,
        norm_epsilon=1e-6,
        bos_token=0,
        eos_token=0,
        **sizes,
    )


def _decoder(architecture: str, **sizes: Any) -> ModelDescription:
    return ModelDescription.of_family(
        architecture, max_positions=2048, bos_token=1, eos_token=2, **sizes
    )


WORKLOADS: Mapping[str, ModelDescription] = {
    "opt-125m": _opt(layers=12, width=768, heads=12, hidden=3072),
    "opt-1.3b": _opt(layers=24, width=2048, heads=32, hidden=8192),
    "deit-s": _vit(width=384, heads=6, hidden=1536),
    "deit-b": _vit(width=768, heads=12, hidden=3072),
    # sentence-transformers/all-MiniLM-L6-v2: a BERT encoder, its output are the hidden states.
    "minilm": ModelDescription.of_family(
        "bert",
        layers=6,
        width=384,
        heads=12,
        hidden=1536,
        vocabulary=30522,
        max_positions=512,
        norm_epsilon=1e-12,
        tied_head=True,
        bos_token=101,
        eos_token=102,
    ),
    # TinyLlama-1.1B (arXiv 2401.02385): 32 query heads share 4 KV heads.
    "tinyllama": _decoder(
        "llama",
        layers=22,
        width=2048,
        heads=32,
        kv_heads=4,
        hidden=5632,
        vocabulary=32000,
    ),
}


def workload(name: str, *, layers: int | None = None, positions: int = 0) -> ModelDescription:
    """A workload, cut to its first `layers` layers and with room for at least `positions`
    positions.

    ValueError for an unknown name or a number of layers that the model does not have.
    """
    if name not in WORKLOADS:
        raise ValueError(f"unknown workload {name!r}: choose from {', '.join(WORKLOADS)}")
    description = WORKLOADS[name]
    count = description.layers if layers is None else layers
    if not 1 <= count <= description.layers:
        raise ValueError(f"{name} has 1..{description.layers} layers, not {count}")
    return replace(
        description, layers=count, max_positions=max(description.max_positions, positions)
    )
