# SPDX-License-Identifier: Apache-2.0
"""The integer tier: the quantised model in plain order, without the hardware's approximations.

It has the same integers at every site as the bit-true tier: words with exponents, INT8 queries,
keys and values, an INT16 residual, scores with 8 fraction bits, unsigned probabilities. But its
norms divide and take roots exactly, and its softmax is over the whole row below the row's true
maximum, divided exactly. Rotation, activation table, gate product and words are the same in both.
What separates it from the float tier is quantisation; what separates the bit-true tier from it is
hardware order.

Shape letters: n tokens, d width, e elements per head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meadow.golden.numerics import gate, requantise, saturate
from meadow.golden.tiers.layer_parts import as_words, hidden_words, look_up, rotate_heads
from meadow.golden.tiers.observer import Observer, ignore
from meadow.model.head_padding import attention_exponent
from meadow.model.quantised import (
    QuantisedLayer,
    QuantisedLinear,
    QuantisedModel,
    QuantisedNorm,
)
from meadow.spec.numerics import SCORE_FRACTION_BITS

__all__ = ["IntegerModel", "attention", "linear", "norm"]


def linear(x: np.ndarray, matrix: QuantisedLinear, bits: int) -> np.ndarray:
    """`sat(rq(x @ weight.T + bias))`: x [n, in] -> int64 [n, out] of `bits` bits."""
    # Products of words with weights and their sums stay below 2^53: float64 is exact.
    total = (x.astype(np.float64) @ matrix.weight.T.astype(np.float64)).astype(np.int64)
    return requantise(total + matrix.bias, matrix.multiplier, matrix.shift, bits)


def norm(
    residual: np.ndarray, parameters: QuantisedNorm, *, as_residual: bool = False
) -> np.ndarray:
    """Layer or RMS norm with exact division and root: [n, d] -> int64 [n, d] of 16 bits.

    as_residual gives the row that replaces the residual of a post-norm model.
    """
    shift = parameters.shift_of(as_residual=as_residual)
    x = residual.astype(np.float64)
    channels = parameters.channels
    mean = np.zeros((len(x), 1)) if parameters.rms else x.mean(axis=1, keepdims=True)
    spread = channels**2 * ((x * x).mean(axis=1, keepdims=True) - mean * mean)
    # The fixed-point n = 16 * (x - mean) * 2^15 / sqrt(V) / 2^norm_shift of the specification.
    unit = 2.0 ** (19 - parameters.norm_shift)
    n = (x - mean) * unit / np.sqrt(spread + parameters.epsilon)
    offset = parameters.offset.astype(np.float64) * 2.0**parameters.offset_shift
    y = (n * parameters.gain + offset) / 2.0**shift
    return saturate(np.floor(y + 0.5).astype(np.int64), 16)


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
    output_bits: int,
    causal: bool = True,
) -> np.ndarray:
    """Attention of one head over its whole rows.

    query: [n, e], of the last n positions; keys, values: [L, e], of all -> int64 [n, e] of
    `output_bits` bits. The largest probability of a row is 2^probability_bits, the others are
    rounded to integers.
    """
    scores = requantise(query @ keys.T, score_multiplier, score_shift, 16)
    seen_by_first = len(keys) - len(query) + 1
    masked = np.triu(np.ones(scores.shape, bool), seen_by_first) & causal
    largest = np.where(masked, np.iinfo(np.int64).min, scores).max(axis=1, keepdims=True)
    power = 2.0 ** ((np.minimum(scores, largest) - largest) / 2.0**SCORE_FRACTION_BITS)
    power = np.where(masked, 0, np.floor(power * 2.0**probability_bits + 0.5))
    ratio = output_multiplier / 2.0 ** (output_shift + 1)
    attention_out = (power @ values) / power.sum(axis=1, keepdims=True) * ratio
    return saturate(np.floor(attention_out + 0.5).astype(np.int64), output_bits)


class IntegerModel:
    """A quantised transformer in integers, whole sequences at a time.

    model: the quantised transformer; width: channels of a word, W; probability_bits: bits of a
    softmax probability.
    """

    def __init__(self, model: QuantisedModel, *, width: int, probability_bits: int = 12) -> None:
        if not 1 <= probability_bits <= 16:
            raise ValueError(f"probability_bits must be 1 to 16, not {probability_bits}")
        self.model = model
        self.width = width
        self.probability_bits = probability_bits

    def forward(
        self, tokens: Sequence[int] | np.ndarray, *, observe: Observer | None = None
    ) -> np.ndarray:
        """Logits int16 [n, vocabulary] of a sequence that begins behind the model's prefix, or the
        residual int16 [n, d] of a model with the outputs "hidden".

        `observe(site, array)` is called with the integers at the float tier's sites.
        """
        model = self.model
        ids = np.asarray(tokens)
        seen: Observer = observe if observe is not None else ignore
        x = model.embed(ids, model.start + np.arange(len(ids))).astype(np.int64)
        seen("embedding", x)
        behind, site = model.embedding_norm, "embedding.residual_norm"
        for index, layer in enumerate(model.layers):
            name = f"layers.{index}."
            x = self._attention(
                index, layer, *self._normed(x, layer.attention_norm, behind, site, seen), seen
            )
            behind, site = self._behind(layer.attention_norm), name + "residual_attention_norm"
            x = self._mlp(name, layer, *self._normed(x, layer.mlp_norm, behind, site, seen), seen)
            behind, site = self._behind(layer.mlp_norm), name + "residual_mlp_norm"
        if behind is not None:
            x = norm(x, behind, as_residual=True)
            seen(site, x)
        if model.final_norm is None or model.head is None:
            return x.astype(np.int16)
        x = as_words(norm(x, model.final_norm), self.width)
        seen("head_in", x)
        return linear(x, model.head, 16).astype(np.int16)

    def _behind(self, parameters: QuantisedNorm) -> QuantisedNorm | None:
        """The norm behind a sum, None in a pre-norm model."""
        return parameters if self.model.description.norm_order == "post" else None

    def _attention(
        self, index: int, layer: QuantisedLayer, normed: np.ndarray, x: np.ndarray, seen: Observer
    ) -> np.ndarray:
        """Attention of normalised rows [n, d], added to the residual x [n, d]."""
        description, rotary = self.model.description, self.model.rotary
        name = f"layers.{index}."
        seen(name + "qkv_in", normed)
        bits = 8 if rotary is None else 16
        q, k = (linear(normed, matrix, bits) for matrix in (layer.q, layer.k))
        v = linear(normed, layer.v, 8)
        if rotary is not None:
            seen(name + "q_linear", q)
            seen(name + "k_linear", k)
            start = self.model.start
            rotary_table = rotary[start : start + len(x)]
            q, k = (
                rotate_heads(rows, rotary_table, layer.rotary_shift).astype(np.int64)
                for rows in (q, k)
            )
        seen(name + "q_out", q)
        seen(name + "k_out", k)
        seen(name + "v_out", v)
        k, v = self._behind_prefix(index, k, v)
        attention_out = np.empty_like(q)
        exponent = attention_exponent(description, self.width)
        for head in range(description.heads):
            pair = head * description.kv_heads // description.heads
            own = slice(head * description.head_dim, (head + 1) * description.head_dim)
            shared = slice(pair * description.head_dim, (pair + 1) * description.head_dim)
            head_out = attention(
                q[:, own],
                k[:, shared],
                v[:, shared],
                probability_bits=self.probability_bits,
                score_multiplier=layer.score_multiplier[pair],
                score_shift=layer.score_shift[pair],
                output_multiplier=layer.output_multiplier[pair],
                output_shift=layer.output_shift[pair] + exponent,
                output_bits=8 if exponent else 16,
                causal=description.causal,
            )
            # The words of a head start with it; those that heads share have one exponent.
            words = head_out << exponent if exponent else as_words(head_out, self.width)
            attention_out[:, own] = words
        seen(name + "o_in", attention_out)
        x = saturate(x + linear(attention_out, layer.o, 16), 16)
        seen(name + "residual_attention", x)
        return x

    def _behind_prefix(
        self, index: int, keys: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values [n, kv_heads*e] of a layer behind those of the prefix."""
        prefix = self.model.prefix
        if prefix is None:
            return keys, values
        firsts = (rows[index].swapaxes(0, 1) for rows in (prefix.keys, prefix.values))
        joined = (
            np.concatenate([first.reshape(len(prefix), -1), rows])
            for first, rows in zip(firsts, (keys, values), strict=True)
        )
        keys, values = joined
        return keys, values

    def _mlp(
        self, name: str, layer: QuantisedLayer, normed: np.ndarray, x: np.ndarray, seen: Observer
    ) -> np.ndarray:
        """The MLP of normalised rows [n, d], added to the residual x [n, d]."""
        seen(name + "fc1_in", normed)
        hidden = self._hidden(name, layer, normed, seen)
        parts = hidden_words(layer, hidden, self.model.blocks, self.width)
        seen(name + "fc2_in", np.concatenate(parts, axis=1))
        for matrix, part in zip(layer.fc2, parts, strict=True):
            x = saturate(x + linear(part, matrix, 16), 16)
        seen(name + "residual_mlp", x)
        return x

    @staticmethod
    def _hidden(name: str, layer: QuantisedLayer, normed: np.ndarray, seen: Observer) -> np.ndarray:
        """The MLP up to the words of fc2: [n, d] -> int64 [n, hidden] of 16 bits."""
        if layer.activation_table is None:
            return np.maximum(linear(normed, layer.fc1, 16), 0)
        hidden = linear(normed, layer.fc1, 16)
        seen(name + "fc1_out", hidden)
        hidden = look_up(hidden, layer.activation_table).astype(np.int64)
        if layer.up is None:
            return hidden
        seen(name + "activation", hidden)
        up = linear(normed, layer.up, 16)
        seen(name + "up_out", up)
        return gate(hidden, up, layer.gate_shift)

    def _normed(
        self,
        x: np.ndarray,
        own: QuantisedNorm,
        behind: QuantisedNorm | None,
        site: str,
        seen: Observer,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a sublayer takes in, and the residual it adds to: [n, d] of words and of 16 bits.

        own : its norm in a pre-norm model. behind : in a post-norm model the norm of the sum x.
        """
        if behind is None:
            return as_words(norm(x, own), self.width), x
        residual = norm(x, behind, as_residual=True)
        seen(site, residual)
        return as_words(norm(x, behind), self.width), residual
