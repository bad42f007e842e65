# SPDX-License-Identifier: Apache-2.0
"""Random quantised decoders of any shape, for tests and benchmarks that need no checkpoint.

Weights are drawn from Student's t, whose tails are like those of trained OPT matrices, with few
degrees of freedom where trained matrices have outliers. Scales keep every activation alive: INT8
values of about 30, scores of about 2.
"""

from __future__ import annotations

import math

import numpy as np

from meadow.compiler.quantise import scale_parts
from meadow.golden.quantised import (
    QuantisedLayer,
    QuantisedLinear,
    QuantisedModel,
    QuantisedNorm,
    hidden_slices,
)
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8

__all__ = ["synthetic_model"]

_DEGREES = {"q": 15, "k": 15, "v": 10, "o": 10, "fc1": 12, "fc2": 5, "head": 12}
_INT8 = 30.0
_RESIDUAL = 2000.0
_LOGITS = 3000.0
_SCORE = 2.0 * 256


def synthetic_model(
    description: ModelDescription, *, hidden_block: int | None = None, seed: int = 0
) -> QuantisedModel:
    """A decoder of random integers; the same arguments give the same one.

    hidden_block: H, by default the whole hidden layer. ValueError if it is below 1.
    """
    random = np.random.default_rng(seed)
    d = description
    hidden_block = d.hidden if hidden_block is None else hidden_block
    blocks = hidden_slices(d.hidden, hidden_block)
    attention, key_value = d.heads * d.head_dim, d.kv_heads * d.head_dim

    def linear(
        name: str, outputs: int, inputs: int, spread: float, *, first: bool = True
    ) -> QuantisedLinear:
        return _linear(random, name, outputs, inputs, spread, bias=first)

    def layer() -> QuantisedLayer:
        return QuantisedLayer(
            attention_norm=_norm(random, d.width),
            q=linear("q", attention, d.width, _INT8),
            k=linear("k", key_value, d.width, _INT8),
            v=linear("v", key_value, d.width, _INT8),
            o=linear("o", d.width, attention, _RESIDUAL / 4),
            mlp_norm=_norm(random, d.width),
            fc1=linear("fc1", d.hidden, d.width, _INT8),
            fc2=tuple(
                linear("fc2", d.width, block.stop - block.start, _RESIDUAL / 4, first=index == 0)
                for index, block in enumerate(blocks)
            ),
            **_attention(random, d),
        )

    def embedding(rows: int) -> np.ndarray:
        return np.rint(random.normal(0, _RESIDUAL, (rows, d.width))).astype(np.int16)

    return QuantisedModel(
        description=d,
        hidden_block=hidden_block,
        layers=tuple(layer() for _ in range(d.layers)),
        final_norm=_norm(random, d.width),
        head=linear("head", d.vocabulary, d.width, _LOGITS),
        embed_tokens=embedding(d.vocabulary),
        embed_positions=embedding(d.max_positions),
        residual_scale=1 / _RESIDUAL,
        logits_scale=1 / 256,
        notes={"synthetic_seed": seed},
    )


def _linear(
    random: np.random.Generator, name: str, outputs: int, inputs: int, spread: float, *, bias: bool
) -> QuantisedLinear:
    """Outputs of standard deviation `spread` for inputs of `_INT8`."""
    drawn = random.standard_t(_DEGREES[name], (outputs, inputs))
    weight = np.clip(np.rint(drawn * 12), -LIMIT_INT8, LIMIT_INT8).astype(np.int8)
    accumulator = math.sqrt(inputs) * 14 * _INT8
    multiplier, shift = scale_parts(spread / accumulator * random.uniform(0.8, 1.2, outputs), name)
    offsets = np.rint(random.normal(0, accumulator / 8, outputs)) if bias else np.zeros(outputs)
    return QuantisedLinear(
        weight=weight, bias=offsets.astype(np.int32), multiplier=multiplier, shift=shift
    )


def _norm(random: np.random.Generator, channels: int) -> QuantisedNorm:
    """Normalised values in units of about 2^-12, then a gain of about 30 * 2^-12."""
    multiplier, shift = scale_parts(np.array(16 / channels), "mean")
    gain = np.rint(4096 * random.uniform(0.7, 1.3, channels)).astype(np.int16)
    offset = np.rint(random.normal(0, 2048, channels)).astype(np.int16)
    return QuantisedNorm(
        gain=gain,
        offset=offset,
        epsilon=channels * channels,
        mean_multiplier=int(multiplier),
        mean_shift=int(shift),
        norm_shift=7 - round(math.log2(channels)),
        offset_shift=8,
        output_shift=19,
    )


def _attention(random: np.random.Generator, d: ModelDescription) -> dict[str, tuple[int, ...]]:
    heads = d.kv_heads
    products = math.sqrt(d.head_dim) * _INT8 * _INT8
    multiplier, shift = scale_parts(_SCORE / products * random.uniform(0.5, 2, heads), "scores")
    # multiplier * 2^(-1 - shift) is the gain on the mean of V: 1 to 2.
    gain = random.integers(1 << 15, 1 << 16, heads)
    return {
        "score_multiplier": tuple(int(value) for value in multiplier),
        "score_shift": tuple(int(value) for value in shift),
        "output_multiplier": tuple(int(value) for value in gain),
        "output_shift": (14,) * heads,
    }
