# SPDX-License-Identifier: Apache-2.0
"""The integer tier: the quantised decoder in plain order, without the hardware's approximations.

It has the same integers at every site as the bit-true tier: INT8 activations, an INT16 residual,
scores with 8 fraction bits, unsigned probabilities. But its norms divide and take roots exactly,
and its softmax is over the whole row below the row's true maximum, divided exactly. What separates
it from the float tier is quantisation; what separates the bit-true tier from it is hardware order.

Shape letters: n tokens, d width, e elements per head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from meadow.golden.numerics import requantise, saturate
from meadow.model.quantised import (
    QuantisedLayer,
    QuantisedLinear,
    QuantisedModel,
    QuantisedNorm,
)
from meadow.spec.numerics import SCORE_FRACTION_BITS

__all__ = ["IntegerModel", "attention", "linear", "norm"]

Observer = Callable[[str, np.ndarray], None]


def linear(x: np.ndarray, matrix: QuantisedLinear, bits: int) -> np.ndarray:
    """`sat(rq(x @ weight.T + bias))`: x [n, in] -> int64 [n, out] of `bits` bits."""
    # Products of 8-bit integers and their sums stay below 2^53: float64 is exact.
    total = (x.astype(np.float64) @ matrix.weight.T.astype(np.float64)).astype(np.int64)
    return requantise(total + matrix.bias, matrix.multiplier, matrix.shift, bits)


def norm(residual: np.ndarray, parameters: QuantisedNorm) -> np.ndarray:
    """Layer or RMS norm with exact division and root: [n, d] -> int64 [n, d] of 8 bits."""
    x = residual.astype(np.float64)
    channels = parameters.channels
    mean = np.zeros((len(x), 1)) if parameters.rms else x.mean(axis=1, keepdims=True)
    spread = channels**2 * ((x * x).mean(axis=1, keepdims=True) - mean * mean)
    # The fixed-point n = 16 * (x - mean) * 2^15 / sqrt(V) / 2^norm_shift of the specification.
    unit = 2.0 ** (19 - parameters.norm_shift)
    n = (x - mean) * unit / np.sqrt(spread + parameters.epsilon)
    offset = parameters.offset.astype(np.float64) * 2.0**parameters.offset_shift
    y = (n * parameters.gain + offset) / 2.0**parameters.output_shift
    return saturate(np.floor(y + 0.5).astype(np.int64), 8)


def attention(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    *,
    probability_bits: int,
    score_multiplier: int,
    score_shift: int,
    output_multiplier: int,
    output_shift: int,
) -> np.ndarray:
    """Causal attention of one head over its whole rows.

    query, keys, values: [n, e] -> int64 [n, e] of 8 bits. The largest probability of a row is
    2^probability_bits, the others are rounded to integers.
    """
    scores = requantise(query @ keys.T, score_multiplier, score_shift, 16)
    masked = np.triu(np.ones(scores.shape, bool), 1)
    largest = np.where(masked, np.iinfo(np.int64).min, scores).max(axis=1, keepdims=True)
    power = 2.0 ** ((np.minimum(scores, largest) - largest) / 2.0**SCORE_FRACTION_BITS)
    power = np.where(masked, 0, np.floor(power * 2.0**probability_bits + 0.5))
    ratio = output_multiplier / 2.0 ** (output_shift + 1)
    mixed = (power @ values) / power.sum(axis=1, keepdims=True) * ratio
    return saturate(np.floor(mixed + 0.5).astype(np.int64), 8)


class IntegerModel:
    """A quantised OPT decoder in integers, whole sequences at a time.

    model: the quantised decoder; probability_bits: bits of a softmax probability. ValueError for
    another architecture.
    """

    def __init__(self, model: QuantisedModel, *, probability_bits: int = 12) -> None:
        if not 1 <= probability_bits <= 16:
            raise ValueError(f"probability_bits must be 1 to 16, not {probability_bits}")
        if (
            model.description.architecture != "opt"
            or model.final_norm is None
            or model.head is None
        ):
            raise ValueError(
                "the integer tier knows the architecture opt, "
                f"not {model.description.architecture!r}"
            )
        self.model = model
        self.final_norm, self.head = model.final_norm, model.head
        self.probability_bits = probability_bits

    def forward(
        self, tokens: Sequence[int] | np.ndarray, *, observe: Observer | None = None
    ) -> np.ndarray:
        """Logits int16 [n, vocabulary] of a sequence from position 0.

        `observe(site, array)` is called with the integers at the float tier's sites.
        """
        model = self.model
        ids = np.asarray(tokens)
        seen: Observer = observe if observe is not None else _ignore
        x = model.embed(ids, np.arange(len(ids))).astype(np.int64)
        seen("embedding", x)
        for index, layer in enumerate(model.layers):
            x = self._layer(f"layers.{index}.", layer, x, seen)
        x = norm(x, self.final_norm)
        seen("head_in", x)
        return linear(x, self.head, 16).astype(np.int16)

    def _layer(self, name: str, layer: QuantisedLayer, x: np.ndarray, seen: Observer) -> np.ndarray:
        """One decoder layer on the residual [n, d]."""
        d = self.model.description
        normed = norm(x, layer.attention_norm)
        seen(name + "qkv_in", normed)
        q, k, v = (linear(normed, matrix, 8) for matrix in (layer.q, layer.k, layer.v))
        seen(name + "q_out", q)
        seen(name + "k_out", k)
        seen(name + "v_out", v)
        mixed = np.empty_like(q)
        for head in range(d.heads):
            pair = head * d.kv_heads // d.heads
            own = slice(head * d.head_dim, (head + 1) * d.head_dim)
            shared = slice(pair * d.head_dim, (pair + 1) * d.head_dim)
            mixed[:, own] = attention(
                q[:, own],
                k[:, shared],
                v[:, shared],
                probability_bits=self.probability_bits,
                score_multiplier=layer.score_multiplier[pair],
                score_shift=layer.score_shift[pair],
                output_multiplier=layer.output_multiplier[pair],
                output_shift=layer.output_shift[pair],
            )
        seen(name + "o_in", mixed)
        x = saturate(x + linear(mixed, layer.o, 16), 16)
        seen(name + "residual_attention", x)

        normed = norm(x, layer.mlp_norm)
        seen(name + "fc1_in", normed)
        inner = np.maximum(linear(normed, layer.fc1, 8), 0)
        seen(name + "fc2_in", inner)
        for matrix, block in zip(layer.fc2, self.model.blocks, strict=True):
            x = saturate(x + linear(inner[:, block], matrix, 16), 16)
        seen(name + "residual_mlp", x)
        return x


def _ignore(site: str, array: np.ndarray) -> None:
    """The observer of a run that nobody observes."""
