# SPDX-License-Identifier: Apache-2.0
"""Activation functions in float, by name: the one table of them.

The float tier computes them, the compiler makes the activation table of them. ReLU has an epilogue
of its own and needs no table. How to add one: docs/extending.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

__all__ = ["ACTIVATIONS", "gelu", "real_type", "relu", "silu"]


def relu(x: np.ndarray) -> np.ndarray:
    """``max(x, 0)``, any shape."""
    return np.maximum(x, 0)


def gelu(x: np.ndarray) -> np.ndarray:
    """``x * Phi(x)`` with the normal distribution itself, not an approximation; any shape."""
    # NumPy has no erf.
    scaled = (x.astype(np.float64) * math.sqrt(0.5)).reshape(-1).tolist()
    distribution = np.fromiter(map(math.erf, scaled), np.float64, x.size).reshape(x.shape)
    return (x * (0.5 + 0.5 * distribution)).astype(real_type(x))


def silu(x: np.ndarray) -> np.ndarray:
    """``x / (1 + exp(-x))``, any shape."""
    wide = x.astype(np.float64)
    return (wide * (0.5 + 0.5 * np.tanh(0.5 * wide))).astype(real_type(x))


def real_type(x: np.ndarray) -> np.dtype:
    """Type of what is computed from x: float64 of float64, float32 of anything else."""
    return np.result_type(np.float32, x.dtype)


ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": relu,
    "gelu": gelu,
    "silu": silu,
}
"""Functions of any shape; the results have the type of x, float32 if that is no float64."""
