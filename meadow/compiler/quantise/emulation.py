# SPDX-License-Identifier: Apache-2.0
"""The number formats that a real chat model asks for, emulated in float: what they cost, before any
hardware has them.

A rotated RMS-norm model runs in float32, and every place where the machine will round is rounded:
weights to 8 bits per row; norm outputs, hiddens and attention outputs to words with exponents; Q, K
and V to 8 bits with a step per head; the residual to 16 bits with one step; the activation through
a table of 2048 entries; probabilities to 12 bits. The K and V of the prefix are computed in float
and rounded like all others, and nothing of the prefix is rounded before that. What is not emulated:
requantisation scales of 16 bits, the integer norm and softmax, which cost far less.

Each format can be left out (`Formats`), so that its share can be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meadow.compiler.quantise.number_formats import (
    WORD_RANGE,
    clipped_step,
    rounded_rows,
    rounded_words,
)
from meadow.compiler.quantise.text_figures import Window
from meadow.golden.activations import ACTIVATIONS
from meadow.golden.tiers.float_operators import rms_norm, rotary_angles, rotate
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8, TABLE_ENTRIES

__all__ = ["EmulatedStream", "Formats", "Ranges", "emulated_ranges"]

_INT16 = (1 << 15) - 1
_PROBABILITY_STEPS = 1 << 12
_HEADROOM = 1.25

_HEADS = ("q_out", "k_out", "v_out")


@dataclass(frozen=True, kw_only=True)
class Formats:
    """word : channels that share an exponent.

    word_exponents : False gives every word the same range, that of the largest value calibrated.
    weights, heads, residual, table, probabilities : False leaves these in float.
    table_bits : of the activation table's outputs.
    """

    word: int = 64
    word_exponents: bool = True
    weights: bool = True
    heads: bool = True
    residual: bool = True
    table: bool = True
    table_bits: int = 16
    probabilities: bool = True


@dataclass
class Ranges:
    """Largest values and steps that calibration found.

    residual : largest |value| of the residual stream.
    largest : site -> largest |value|.
    steps : site -> step of 8-bit values for each head.
    """

    residual: float = 0.0
    largest: dict[str, float] = field(default_factory=dict)
    steps: dict[str, np.ndarray] = field(default_factory=dict)


def emulated_ranges(model: FloatModel, windows: Sequence[Window], *, prefix: int) -> Ranges:
    """Ranges of a model over windows; the first `prefix` tokens of each count for K and V, but for
    nothing else.
    """
    ranges, rows = Ranges(), [model.embed(w.tokens, np.arange(len(w.tokens))) for w in windows]
    samples: dict[str, list[np.ndarray]] = {}

    def observe(site: str, array: np.ndarray) -> None:
        part = array[prefix:]
        kind = site.rpartition(".")[2]
        if kind in _HEADS:
            samples.setdefault(site, []).append(part if kind == "q_out" else array)
        elif kind.startswith("residual"):
            ranges.residual = max(ranges.residual, float(np.abs(part).max()))
        else:
            found = float(np.abs(part).max())
            ranges.largest[site] = max(ranges.largest.get(site, 0.0), found)

    for index in range(model.description.layers):
        for at in range(len(windows)):
            x = model.attention_sublayer(
                index, rows[at], model.new_cache(len(rows[at])), observe=observe
            )
            rows[at] = model.mlp_sublayer(index, x, observe=observe)
        for site, parts in samples.items():
            found = np.concatenate(parts)
            heads = found.reshape(len(found), -1, model.description.head_dim)
            ranges.steps[site] = np.array(
                [clipped_step(heads[:, head]) for head in range(heads.shape[1])]
            )
        samples.clear()
    for at, window in enumerate(windows):
        start = model.embed(window.tokens, np.arange(len(window.tokens)))
        observe("residual", start)
        model.output(rows[at], observe=observe)
    return ranges


class EmulatedStream:
    """A rotated model in emulated formats, as `text_figures.Stream`.

    Parameters
    ----------
    description, tensors : of the model, RMS norm, rotary positions, gated MLP.
    ranges : of the same model.
    prefix : tokens at the beginning of every window whose K and V are computed in float.
    formats : which formats there are.
    """

    def __init__(
        self,
        description: ModelDescription,
        tensors: Mapping[str, np.ndarray],
        ranges: Ranges,
        *,
        prefix: int,
        formats: Formats | None = None,
    ) -> None:
        if not (description.norm == "rms" and description.rotary_base and description.gated):
            raise ValueError(
                f"formats are emulated for models like LLaMA, not for {description.architecture}"
            )
        self.layers = description.layers
        self._d, self._ranges = description, ranges
        self._formats = Formats() if formats is None else formats
        self._prefix = prefix
        self._real = FloatModel(description, tensors)
        self._weights = {
            name: rounded_rows(array).astype(np.float32)
            if self._formats.weights and array.ndim == 2 and not name.startswith("embed_")
            else np.asarray(array, np.float32)
            for name, array in self._real.tensors.items()
        }
        self._residual = ranges.residual * _HEADROOM / _INT16

    def start(self, tokens: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        rows = self._real.embed(tokens, np.arange(len(tokens)))
        return np.concatenate([rows[: self._prefix], self._rounded(rows[self._prefix :])])

    def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        name = f"layers.{index}."
        first, x = rows[: self._prefix], rows[self._prefix :]
        cache = self._real.new_cache(len(rows))
        if self._prefix:
            first = self._real.attention_sublayer(index, first, cache)
            first = self._real.mlp_sublayer(index, first)
        normed = self._words(name + "qkv_in", self._norm(name + "attention_norm", x))
        q, k, v = (self._linear(name + part, normed) for part in "qkv")
        positions = np.arange(self._prefix, len(rows))
        angles = rotary_angles(
            positions, self._d.head_dim, self._d.rotary_base, self._d.rotary_divisors
        )
        q, k = rotate(q, angles), rotate(k, angles)
        past = [
            self._flat(cached[index, :, : self._prefix]) for cached in (cache.keys, cache.values)
        ]
        k, v = np.concatenate([past[0], k]), np.concatenate([past[1], v])
        attention_out = self._attention(
            *(
                self._per_head(name + site, array)
                for site, array in zip(_HEADS, (q, k, v), strict=True)
            )
        )
        attention_out = self._words(name + "o_in", attention_out)
        x = self._rounded(x + self._rounded(self._linear(name + "o", attention_out)))
        normed = self._words(name + "fc1_in", self._norm(name + "mlp_norm", x))
        gate = self._table(name, self._linear(name + "fc1", normed))
        hidden = self._words(name + "fc2_in", gate * self._linear(name + "up", normed))
        x = self._rounded(x + self._rounded(self._linear(name + "fc2", hidden)))
        return np.concatenate([first, x])

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """See `Stream`. No logits belong to the prefix."""
        normed = self._words("head_in", self._norm("final_norm", rows))
        head = "embed_tokens" if self._d.tied_head else "head"
        return normed @ self._weights[head].T

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return rms_norm(x, self._weights[f"{name}.weight"], self._d.norm_epsilon)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        y = x @ self._weights[f"{name}.weight"].T
        bias = self._weights.get(f"{name}.bias")
        return y if bias is None else y + bias

    def _rounded(self, x: np.ndarray) -> np.ndarray:
        """The residual, or what is added to it."""
        if not self._formats.residual:
            return x
        limited = np.clip(np.rint(x / self._residual), -_INT16 - 1, _INT16)
        return (limited * self._residual).astype(x.dtype)

    def _words(self, site: str, x: np.ndarray) -> np.ndarray:
        largest = self._ranges.largest[site]
        if self._formats.word_exponents:
            return rounded_words(x, largest / WORD_RANGE, self._formats.word)
        return _static(x, largest / LIMIT_INT8)

    def _per_head(self, site: str, x: np.ndarray) -> np.ndarray:
        """Q, K or V ``[n, h * e]`` -> ``[h, n, e]``."""
        heads = x.reshape(len(x), -1, self._d.head_dim).transpose(1, 0, 2)
        if not self._formats.heads:
            return heads
        return _static(heads, self._ranges.steps[site][:, None, None])

    def _flat(self, heads: np.ndarray) -> np.ndarray:
        count, rows, elements = heads.shape
        return heads.transpose(1, 0, 2).reshape(rows, count * elements)

    def _attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        group, rows, context = len(q) // len(k), q.shape[1], k.shape[1]
        scores = (q * self._d.head_dim**-0.5) @ np.repeat(k, group, axis=0).transpose(0, 2, 1)
        seen = np.arange(context)[None, :] <= np.arange(context - rows, context)[:, None]
        scores = np.where(seen, scores, -np.inf)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        if self._formats.probabilities:
            powers = np.rint(powers * _PROBABILITY_STEPS) / _PROBABILITY_STEPS
        attention_out = powers @ np.repeat(v, group, axis=0) / powers.sum(axis=-1, keepdims=True)
        return self._flat(attention_out).astype(np.float32)

    def _table(self, layer: str, x: np.ndarray) -> np.ndarray:
        """The activation through a table: inputs of the same entry have the same output."""
        activation = ACTIVATIONS[self._d.activation]
        if not self._formats.table:
            return activation(x)
        bucket = 2 * self._ranges.largest[layer + "fc1_out"] / TABLE_ENTRIES
        entry = np.clip(np.floor(x / bucket), -TABLE_ENTRIES // 2, TABLE_ENTRIES // 2 - 1)
        values = activation((entry + 0.5) * bucket)
        limit = (1 << (self._formats.table_bits - 1)) - 1
        step = self._ranges.largest[layer + "activation"] / limit
        return np.clip(np.rint(values / step), -limit, limit).astype(np.float32) * np.float32(step)


def _static(x: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """8-bit values with steps that were chosen beforehand."""
    held = np.clip(np.rint(x / step), -LIMIT_INT8, LIMIT_INT8) * step
    return held.astype(x.dtype)
