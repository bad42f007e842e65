# SPDX-License-Identifier: Apache-2.0
"""Steps of Q, K and V: signed 8-bit values, one static scale for each KV head.

A scale is as large as calibration asks for, or smaller: the clip that gives the least squared error
over all values seen. Within a head, channels of very different size are brought together first, by
factors that cost nothing: those of K cancel against Q in the score, and those of V go into the
columns of o that read them. With rotary positions the two channels of a pair share their factor,
since the rotation mixes them. The factors are SmoothQuant's (arXiv 2211.10438, equation 4, with the
exponent 1/2). Shape letters: n rows, h heads, k KV heads, e elements per head.
"""

from __future__ import annotations

import numpy as np

from meadow.compiler.quantise.number_formats import clipped_step
from meadow.spec.model import ModelDescription

__all__ = ["lifted", "query_key_steps", "value_steps"]

_SILENT = 1e-4
"""A channel that calibration saw (nearly) silent counts as this part of the loudest."""


def lifted(maxima: np.ndarray) -> np.ndarray:
    """Maxima with silent channels lifted; all ones if every channel is silent."""
    largest = maxima.max(initial=0.0)
    return np.maximum(maxima, largest * _SILENT) if largest > 0 else np.ones_like(maxima)


def query_key_steps(
    q: np.ndarray, k: np.ndarray, description: ModelDescription
) -> tuple[np.ndarray, np.ndarray]:
    """Steps float64 [h * e] of Q and [k * e] of K, from rows [n, h * e] and [m, k * e] of both.

    Query heads that share a KV head share their steps.
    """
    d = description
    group = d.group_heads
    queries = q.reshape(len(q), d.kv_heads, group, d.head_dim)
    keys = k.reshape(len(k), d.kv_heads, d.head_dim)
    q_most, k_most = _maxima(queries).max(axis=1), _maxima(keys)
    if d.rotary_base:
        q_most, k_most = (_of_pairs(most) for most in (q_most, k_most))
    factor = np.sqrt(_lifted_heads(q_most) / _lifted_heads(k_most))
    q_step, k_step = np.empty_like(factor), np.empty_like(factor)
    for head in range(d.kv_heads):
        q_step[head] = clipped_step(queries[:, head] / factor[head]) * factor[head]
        k_step[head] = clipped_step(keys[:, head] * factor[head]) / factor[head]
    return np.repeat(q_step[:, None], group, axis=1).reshape(-1), k_step.reshape(-1)


def value_steps(v: np.ndarray, o_weight: np.ndarray, description: ModelDescription) -> np.ndarray:
    """Steps float64 [k * e] of V, from its rows [n, k * e] and the matrix [d, h * e] that reads the
    attention output.
    """
    d = description
    values = v.reshape(len(v), d.kv_heads, d.head_dim)
    columns = np.abs(o_weight).max(axis=0).reshape(d.kv_heads, -1, d.head_dim).max(axis=1)
    factor = np.sqrt(_lifted_heads(_maxima(values)) / _lifted_heads(columns))
    step = [clipped_step(values[:, head] / factor[head]) for head in range(d.kv_heads)]
    return (np.array(step)[:, None] * factor).reshape(-1)


def _maxima(rows: np.ndarray) -> np.ndarray:
    """Largest |value| of every channel, float64."""
    return np.abs(rows).max(axis=0, initial=0).astype(np.float64)


def _of_pairs(maxima: np.ndarray) -> np.ndarray:
    """[k, e] with the larger one of a pair of channels in both places."""
    return np.repeat(maxima.reshape(len(maxima), -1, 2).max(axis=2), 2, axis=1)


def _lifted_heads(maxima: np.ndarray) -> np.ndarray:
    return np.stack([lifted(head) for head in maxima])
