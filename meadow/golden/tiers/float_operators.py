# SPDX-License-Identifier: Apache-2.0
"""The operators of a transformer in float, each a formula.

Norm statistics and soft-max are taken in float64; results have the type of what comes in. Shape
letters: n new tokens, L context after them, d width, h heads, e elements per head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meadow.golden.activations import real_type

__all__ = [
    "attention",
    "layer_norm",
    "linear",
    "rms_norm",
    "rotary_angles",
    "rotate",
    "softmax",
]


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``y[n, o] = sum_i x[n, i] * weight[o, i] + bias[o]``.

    x ``[n, in]``, weight ``[out, in]``, bias ``[out]`` -> ``[n, out]``.
    """
    y = x @ weight.T
    return y if bias is None else y + bias


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float = 1e-5
) -> np.ndarray:
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias`` over the last axis.

    x ``[n, d]``, weight and bias ``[d]`` -> ``[n, d]``; population variance.
    """
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return (centred / np.sqrt(variance + epsilon) * weight + bias).astype(real_type(x))


def rms_norm(x: np.ndarray, weight: np.ndarray, epsilon: float = 1e-5) -> np.ndarray:
    """``x / sqrt(mean(x^2) + epsilon) * weight`` over the last axis.

    x ``[n, d]``, weight ``[d]`` -> ``[n, d]``.
    """
    wide = x.astype(np.float64)
    square = np.mean(wide * wide, axis=-1, keepdims=True)
    return (wide / np.sqrt(square + epsilon) * weight).astype(real_type(x))


def rotary_angles(
    positions: np.ndarray, head_dim: int, base: float, divisors: Sequence[float] = ()
) -> np.ndarray:
    """Angle ``position * base^(-2 i / e) / divisor_i`` of pair i: positions ``[n]`` -> float64
    ``[n, e/2]``.

    divisors : one for each pair, none for 1.
    """
    frequency = base ** (-np.arange(0, head_dim, 2) / head_dim)
    if divisors:
        frequency = frequency / np.asarray(divisors, np.float64)
    return np.asarray(positions, np.float64)[:, None] * frequency


def rotate(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Every pair (2i, 2i+1) of every head turned by its angle.

    x ``[n, heads * e]``, angles ``[n, e/2]`` -> ``[n, heads * e]``.
    """
    pairs = x.reshape(len(x), -1, angles.shape[1], 2)
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = pairs[..., 0], pairs[..., 1]
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    return np.stack(turned, axis=-1).reshape(x.shape).astype(real_type(x))


def softmax(x: np.ndarray) -> np.ndarray:
    """``exp(x) / sum(exp(x))`` over the last axis, any shape -> same shape, float64.

    ``-inf`` masks an entry; every row needs an entry that is not masked.
    """
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, *, causal: bool = True) -> np.ndarray:
    """Attention of the last n positions of a context.

    q ``[h, n, e]`` already scaled by ``e**-0.5``, k and v ``[kv_heads, L, e]`` -> ``[n, h * e]``.
    Query row t has the position ``L - n + t`` and sees the keys up to it, or all if not
    causal. Query head i reads the key/value head ``i * kv_heads // h``.
    """
    heads, rows, head_dim = q.shape
    context = k.shape[1]
    group = heads // k.shape[0]
    scores = q @ np.repeat(k, group, axis=0).transpose(0, 2, 1)
    positions = np.arange(context - rows, context)
    masked = (np.arange(context)[None, :] > positions[:, None]) & causal
    probabilities = softmax(np.where(masked, -np.inf, scores)).astype(q.dtype)
    attention_out = probabilities @ np.repeat(v, group, axis=0)
    return attention_out.transpose(1, 0, 2).reshape(rows, heads * head_dim)
