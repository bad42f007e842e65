# SPDX-License-Identifier: Apache-2.0
"""What surrounds attention in a layer, bit for bit: matrix products, norms, activations, rotary.

Shape letters: n rows, d width, e elements per head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meadow.golden.numerics import (
    gate,
    layer_norm,
    requantise,
    rotate,
    saturate,
    table_index,
    word_numbers,
    words,
)
from meadow.golden.tiers.observer import Observer
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedNorm

__all__ = [
    "accumulate",
    "add_residual",
    "as_words",
    "hidden_rows",
    "hidden_words",
    "linear",
    "look_up",
    "norm",
    "rotate_heads",
]

_STRIP_WEIGHTS = 1 << 18
"""Weights that are float64 at a time: 2 MiB stay in a core's cache, so that one row takes hardly
longer than with weights kept as float64, which would take 8 times the memory.
"""


def accumulate(x: np.ndarray, matrix: QuantisedLinear) -> np.ndarray:
    """Accumulators x @ weight.T + bias: x of integers [n, in] -> int64 [n, out], exact.

    x is what words stand for, or plain 8-bit values.
    """
    # Accumulators have 36 bits: float64 holds every partial sum, in whatever order BLAS takes
    # them. float32 would need x in two parts, which costs as much.
    operand = x.astype(np.float64)
    total = np.empty((len(x), matrix.outputs), np.int64)
    rows = max(1, _STRIP_WEIGHTS // matrix.inputs)
    for start in range(0, matrix.outputs, rows):
        strip = slice(start, start + rows)
        total[:, strip] = operand @ matrix.weight[strip].astype(np.float64).T
    total += matrix.bias
    return total


def linear(
    x: np.ndarray, matrix: QuantisedLinear, *, bits: int = 8, relu: bool = False
) -> np.ndarray:
    """A MATMUL up to the result writer: x of integers [n, in] -> sat(rq(acc + bias)) [n, out].

    bits 8 gives int8 (MatmulOutput INT8), bits 16 gives int16, with `relu` not below 0.
    """
    y = requantise(accumulate(x, matrix), matrix.multiplier, matrix.shift, bits)
    return (np.maximum(y, 0) if relu else y).astype(np.int8 if bits == 8 else np.int16)


def as_words(values: np.ndarray, width: int, padding: int = 0) -> np.ndarray:
    """What the words stand for that are made of 16-bit values: int16 [n, c] -> int16 [n, c].

    padding: the value of the channels behind the last one, up to a whole word.
    """
    return word_numbers(*words(values, width, padding), width)


def add_residual(residual: np.ndarray, update: np.ndarray) -> np.ndarray:
    """sat16(residual + update), both int16 [n, d]."""
    return saturate(residual.astype(np.int32) + update, 16).astype(np.int16)


def norm(
    residual: np.ndarray, parameters: QuantisedNorm, *, as_residual: bool = False
) -> np.ndarray:
    """A NORM: residual int16 [n, d] -> int16 [n, d], of which words are made.

    as_residual gives the row that replaces the residual of a post-norm model.
    """
    return layer_norm(
        residual,
        parameters.gain,
        parameters.offset,
        epsilon=parameters.epsilon,
        mean_multiplier=parameters.mean_multiplier,
        mean_shift=parameters.mean_shift,
        norm_shift=parameters.norm_shift,
        offset_shift=parameters.offset_shift,
        output_shift=parameters.shift_of(as_residual=as_residual),
        rms=parameters.rms,
    ).astype(np.int16)


def rotate_heads(x: np.ndarray, rotary: np.ndarray, shift: int) -> np.ndarray:
    """Rotary positions as ROTATE8 applies them: int16 [n, heads*e] -> int8 [n, heads*e].

    rotary: int16 [n, e/2, 2], cosine and sine of pair i, channels 2i and 2i+1 of every head.
    """
    pairs = x.reshape(len(x), -1, rotary.shape[1], 2)
    cosine, sine = rotary[:, None, :, 0], rotary[:, None, :, 1]
    turned = rotate(pairs[..., 0], pairs[..., 1], cosine, sine, shift)
    return np.stack(turned, axis=-1).reshape(x.shape).astype(np.int8)


def look_up(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The activation table: int16 [n, hidden], table int16 [2048] -> int16 [n, hidden]."""
    return table[table_index(x)]


def hidden_words(
    layer: QuantisedLayer, hidden: np.ndarray, blocks: Sequence[slice], width: int
) -> list[np.ndarray]:
    """What the words of each hidden block stand for: int16 [n, hidden] -> int16 [n, H] each.

    A block's words start with it. The channels that fill up its last word are what the activation
    makes of 0: a table's entry for 0 stands for its neighbours too and need not be 0. fc2 does not
    read them, but the word's exponent is theirs too.
    """
    table, padding = layer.activation_table, 0
    if table is not None and layer.up is None:
        padding = int(look_up(np.zeros(1, np.int64), table)[0])
    return [as_words(hidden[:, block], width, padding) for block in blocks]


def hidden_rows(name: str, layer: QuantisedLayer, normed: np.ndarray, seen: Observer) -> np.ndarray:
    """The MLP up to the words of fc2: integers [n, d] -> int16 [n, hidden].

    name: of the layer, in front of the sites that are seen.
    """
    table = layer.activation_table
    hidden = linear(normed, layer.fc1, bits=16, relu=table is None)
    if table is not None:
        seen(name + "fc1_out", hidden)
        hidden = look_up(hidden, table)
    if layer.up is None:
        return hidden
    seen(name + "activation", hidden)
    up = linear(normed, layer.up, bits=16)
    seen(name + "up_out", up)
    return gate(hidden, up, layer.gate_shift).astype(np.int16)
