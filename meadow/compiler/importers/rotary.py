# SPDX-License-Identifier: Apache-2.0
"""Rotary positions of checkpoints: scaling of their frequencies, and the order of rows they turn.

Published checkpoints pair channel i of a head with channel i + e/2, our models (and llama.cpp's)
channel 2i with 2i + 1. Letter e: elements per head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.config_fields import finite_number
from meadow.spec.model import ModelDescription

__all__ = ["neighbouring_pairs", "rotary_divisors", "turned_together"]

_KNOWN = ("default", "linear", "llama3")


def turned_together(description: ModelDescription, name: str, array: np.ndarray) -> np.ndarray:
    """`TensorLayout.arrange` of files with the channels of a pair half a head apart: rows of q and
    k are brought together, other tensors stay.
    """
    turned = ".q." in name or ".k." in name
    return neighbouring_pairs(array, description.head_dim) if turned else array


def neighbouring_pairs(array: np.ndarray, head_dim: int) -> np.ndarray:
    """Rows of q or k with the channels i and i + e/2 of each head brought together.

    array ``[heads * e, in]``, or ``[heads * e]`` of a bias -> the same shape, channel 2i the former
    channel i, channel 2i + 1 the former channel i + e/2.
    """
    halves = array.reshape(-1, 2, head_dim // 2, *array.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(array.shape)


def rotary_divisors(scaling: Mapping[str, Any], head_dim: int, base: float) -> tuple[float, ...]:
    """What the frequency of each pair is divided by; empty if nothing is scaled.

    scaling : `rope_scaling` or `rope_parameters` of a configuration, with the type "default",
        "linear" (all positions divided by `factor`) or "llama3" (low frequencies divided by it,
        high ones kept, a blend between). CheckpointError for any other type and for a field that is
        no positive number.
    """
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in _KNOWN:
        known = ", ".join(_KNOWN)
        raise CheckpointError(f"rotary scaling must be one of {known}, not {kind!r:.60}")
    if kind == "default":
        return ()
    factor = _positive(scaling, "factor")
    pairs = head_dim // 2
    if kind == "linear":
        return () if factor == 1 else (factor,) * pairs
    low, high = _positive(scaling, "low_freq_factor"), _positive(scaling, "high_freq_factor")
    trained = _positive(scaling, "original_max_position_embeddings")
    if low >= high:
        raise CheckpointError(f"low_freq_factor must be below high_freq_factor {high}, not {low}")
    turns = trained * base ** (-np.arange(0, head_dim, 2) / head_dim) / (2 * math.pi)
    # 0 for a pair that is divided as a whole, 1 for one that is kept.
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return tuple((1 / ((1 - kept) / factor + kept)).tolist())


def _positive(scaling: Mapping[str, Any], key: str) -> float:
    value = scaling.get(key)
    number = finite_number(value)
    if number is None or number <= 0:
        raise CheckpointError(f"{key} of the rotary scaling must be above 0, not {value!r:.60}")
    return number
