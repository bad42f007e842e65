# SPDX-License-Identifier: Apache-2.0
"""What surrounds attention in a layer, bit for bit: matrix products, norms, activations, rotary.

Shape letters: n rows, d width, e elements per head.
"""

from __future__ import annotations

import numpy as np

from meadow.golden.numerics import layer_norm, requantise, rotate, saturate, table_index
from meadow.model.quantised import QuantisedLinear, QuantisedNorm

__all__ = ["accumulate", "add_residual", "linear", "look_up", "norm", "rotate_heads"]

# float32 holds integers up to 2^24 exactly, and 127 * 127 * 1040 is the last sum below it: within
# a strip of 1024 products no partial sum, in whatever order BLAS takes them, is rounded.
_EXACT_STRIP = 1024


def accumulate(x: np.ndarray, matrix: QuantisedLinear) -> np.ndarray:
    """Accumulators x @ weight.T + bias: x int8 [n, in] -> int64 [n, out], exact."""
    operand = x.astype(np.float32)
    total = np.broadcast_to(matrix.bias.astype(np.int64), (len(x), matrix.outputs)).copy()
    for start in range(0, matrix.inputs, _EXACT_STRIP):
        strip = slice(start, start + _EXACT_STRIP)
        total += (operand[:, strip] @ matrix.operand[:, strip].T).astype(np.int64)
    return total


def linear(
    x: np.ndarray, matrix: QuantisedLinear, *, bits: int = 8, relu: bool = False
) -> np.ndarray:
    """A MATMUL up to its drain: x int8 [n, in] -> sat(rq(acc + bias)) [n, out].

    bits 8 gives int8 (MatmulOutput INT8, with `relu` RELU8), bits 16 gives int16 (LOGITS16).
    """
    y = requantise(accumulate(x, matrix), matrix.multiplier, matrix.shift, bits)
    return (np.maximum(y, 0) if relu else y).astype(np.int8 if bits == 8 else np.int16)


def add_residual(residual: np.ndarray, update: np.ndarray) -> np.ndarray:
    """sat16(residual + update), both int16 [n, d]."""
    return saturate(residual.astype(np.int32) + update, 16).astype(np.int16)


def norm(residual: np.ndarray, parameters: QuantisedNorm, *, bits: int = 8) -> np.ndarray:
    """A NORM: residual int16 [n, d] -> int8 [n, d].

    bits 16 gives the int16 row that replaces the residual of a post-norm model.
    """
    shift = parameters.output_shift if bits == 8 else parameters.residual_shift
    if shift is None:
        raise ValueError("a norm without residual_shift has no 16-bit result")
    return layer_norm(
        residual,
        parameters.gain,
        parameters.offset,
        epsilon=parameters.epsilon,
        mean_multiplier=parameters.mean_multiplier,
        mean_shift=parameters.mean_shift,
        norm_shift=parameters.norm_shift,
        offset_shift=parameters.offset_shift,
        output_shift=shift,
        rms=parameters.rms,
        output_bits=bits,
    ).astype(np.int8 if bits == 8 else np.int16)


def rotate_heads(x: np.ndarray, rotary: np.ndarray, shift: int) -> np.ndarray:
    """Rotary positions as ROTATE8 applies them: int16 [n, heads*e] -> int8 [n, heads*e].

    rotary: int16 [n, e/2, 2], cosine and sine of pair i, channels 2i and 2i+1 of every head.
    """
    pairs = x.reshape(len(x), -1, rotary.shape[1], 2)
    cosine, sine = rotary[:, None, :, 0], rotary[:, None, :, 1]
    turned = rotate(pairs[..., 0], pairs[..., 1], cosine, sine, shift)
    return np.stack(turned, axis=-1).reshape(x.shape).astype(np.int8)


def look_up(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The activation table as TABLE8 applies it: int16 [n, hidden], int8 [2048] -> int8."""
    return table[table_index(x)]
