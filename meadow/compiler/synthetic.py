# SPDX-License-Identifier: Apache-2.0
"""Random quantised models of any family and shape, for tests and benchmarks that need no
checkpoint.

Weights are drawn from Student's t, whose tails are like those of trained matrices, with few degrees
of freedom where those have outliers, and get one scale per matrix that makes the largest 127: most
weights are small then, and compress like OPT's. Scales keep every activation alive: Q, K and V of
about 30, residuals of about 2000, scores of about 2, and words with exponents of about 4.
"""

from __future__ import annotations

import math

import numpy as np

from meadow.compiler.lowering.activation import activation_table
from meadow.compiler.quantise.scales import scale_parts
from meadow.golden.tiers.float_operators import rotary_angles
from meadow.model.hidden_blocks import hidden_slices
from meadow.model.prefix import QuantisedPrefix
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedModel, QuantisedNorm
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8, ROTARY_FRACTION_BITS

__all__ = ["synthetic_model"]

# Degrees of freedom, from .. to.
_DEGREES = {
    "q": (10, 30),
    "k": (10, 30),
    "v": (6, 20),
    "o": (6, 20),
    "fc1": (8, 26),
    "up": (8, 26),
    "fc2": (4, 6),
    "head": (8, 26),
}
_INT8 = 30.0
# Deviations of 16-bit values of which words are made: behind a norm, and of attention and MLP.
_NORMED = _INT8 * 2**4
_WORDS = _INT8 * 2**7
_RESIDUAL = 2000.0
_LOGITS = 3000.0
_SCORE = 2.0 * 256

# What an INT16 result in front of a table, a gate or a rotation has more than an INT8 one.
_FINER_BITS = 6
_GATE_SHIFT = 11
# The table takes inputs of deviation 30 * 2^6 as 2, and gives values of up to 8 as 127 * 2^7.
_TABLE_SCALES = 2 / (_INT8 * 2**_FINER_BITS), 8 / (LIMIT_INT8 * 2**7)
# The norm's own values have a deviation of 2^12, its gain is about as large.
_NORM_SHIFT = 15

_STRIP = 1 << 16


def synthetic_model(
    description: ModelDescription,
    *,
    hidden_block: int | None = None,
    seed: int = 0,
    prefix: tuple[int, ...] = (),
) -> QuantisedModel:
    """A model of random integers; the same arguments give the same one.

    hidden_block: H, by default the whole hidden layer. ValueError if it is below 1. prefix: tokens
    that every sequence begins behind; they change nothing else of the model.
    """
    random = np.random.default_rng(seed)
    d = description
    hidden_block = d.hidden if hidden_block is None else hidden_block
    blocks = hidden_slices(d.hidden, hidden_block)
    post = d.norm_order == "post"
    positions = np.arange(d.max_positions)
    angles = rotary_angles(positions, d.head_dim, d.rotary_base or 2.0, d.rotary_divisors)
    rotary_table = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * 2**ROTARY_FRACTION_BITS

    def embedding(rows: int) -> np.ndarray:
        drawn = random.standard_normal((rows, d.width), np.float32) * np.float32(_RESIDUAL)
        return np.rint(drawn).astype(np.int16)

    tokens = d.outputs == "tokens"
    return QuantisedModel(
        description=d,
        hidden_block=hidden_block,
        layers=tuple(_layer(random, d, blocks) for _ in range(d.layers)),
        final_norm=_norm(random, d, post=False) if tokens else None,
        head=_linear(random, "head", d.vocabulary, d.width, _LOGITS) if tokens else None,
        embed_tokens=embedding(d.vocabulary),
        embed_positions=None if d.rotary_base else embedding(d.max_positions),
        embedding_norm=_norm(random, d, post=True) if post else None,
        rotary=np.rint(rotary_table).astype(np.int16) if d.rotary_base else None,
        residual_scale=1 / _RESIDUAL,
        logits_scale=1 / 256,
        prefix=_prefix(random, d, prefix) if prefix else None,
        notes={"synthetic_seed": seed},
    )


def _prefix(
    random: np.random.Generator, d: ModelDescription, tokens: tuple[int, ...]
) -> QuantisedPrefix:
    """Keys and values as large as those of other tokens."""
    shape = (2, d.layers, d.kv_heads, len(tokens), d.head_dim)
    drawn = np.clip(np.rint(random.normal(0, _INT8, shape)), -LIMIT_INT8, LIMIT_INT8)
    keys, values = drawn.astype(np.int8)
    return QuantisedPrefix(tokens=tokens, keys=keys, values=values)


def _layer(
    random: np.random.Generator, d: ModelDescription, blocks: tuple[slice, ...]
) -> QuantisedLayer:
    attention, key_value, post = (
        d.heads * d.head_dim,
        d.kv_heads * d.head_dim,
        d.norm_order == "post",
    )
    finer = _INT8 * 2**_FINER_BITS
    turned = finer if d.rotary_base else _INT8
    table = d.activation != "relu"

    def linear(
        name: str, outputs: int, inputs: int, spread: float, taken: float = _NORMED
    ) -> QuantisedLinear:
        return _linear(random, name, outputs, inputs, spread, taken, bias=d.has_bias(name))

    # The sum of all hidden blocks is a quarter of the residual, as is the attention output.
    fc2 = linear("fc2", d.width, d.hidden, _RESIDUAL / 4, _WORDS)
    return QuantisedLayer(
        attention_norm=_norm(random, d, post=post),
        q=linear("q", attention, d.width, turned),
        k=linear("k", key_value, d.width, turned),
        v=linear("v", key_value, d.width, _INT8),
        o=linear("o", d.width, attention, _RESIDUAL / 4, _WORDS),
        mlp_norm=_norm(random, d, post=post),
        fc1=linear("fc1", d.hidden, d.width, finer if table else _WORDS),
        up=linear("up", d.hidden, d.width, finer) if d.gated else None,
        fc2=tuple(_column_part(fc2, block) for block in blocks),
        activation_table=activation_table(d.activation, *_TABLE_SCALES) if table else None,
        gate_shift=_GATE_SHIFT if d.gated else 0,
        rotary_shift=ROTARY_FRACTION_BITS + _FINER_BITS if d.rotary_base else 0,
        **_attention(random, d),
    )


def _linear(
    random: np.random.Generator,
    name: str,
    outputs: int,
    inputs: int,
    spread: float,
    taken: float = _NORMED,
    *,
    bias: bool = True,
) -> QuantisedLinear:
    """Outputs of standard deviation `spread` for inputs of standard deviation `taken`."""
    weight = _student(random, outputs, inputs, random.uniform(*_DEGREES[name]))
    square = np.dot(weight.reshape(-1), weight.reshape(-1)) / weight.size
    accumulator = math.sqrt(inputs * square) * taken
    multiplier, shift = scale_parts(spread / accumulator * random.uniform(0.8, 1.2, outputs), name)
    offsets = np.rint(random.normal(0, accumulator / 8, outputs)) if bias else np.zeros(outputs)
    return QuantisedLinear(
        weight=weight.astype(np.int8),
        bias=offsets.astype(np.int32),
        multiplier=multiplier,
        shift=shift,
    )


def _student(random: np.random.Generator, outputs: int, inputs: int, degrees: float) -> np.ndarray:
    """Integers, float32 [outputs, inputs], the largest of which is 127 or -127.

    Bailey's polar method: sqrt(n * (w^(-2/n) - 1)) * cos(angle), w uniform in 0..1, is Student's t.
    """
    drawn = np.empty(outputs * inputs, np.float32)
    for start in range(0, drawn.size, _STRIP):
        part = drawn[start : start + _STRIP]
        random.standard_exponential(dtype=np.float32, out=part)
        part *= np.float32(2 / degrees)
        np.exp(part, out=part)
        part -= 1
        np.sqrt(part, out=part)
        angle = random.random(part.size, np.float32)
        angle *= np.float32(2 * math.pi)
        part *= np.cos(angle, out=angle)
    drawn *= np.float32(LIMIT_INT8) / max(drawn.max(), -drawn.min())
    return np.rint(drawn, out=drawn).reshape(outputs, inputs)


def _column_part(linear: QuantisedLinear, columns: slice) -> QuantisedLinear:
    """The inputs `columns` of a matrix; the first of them have the bias."""
    return QuantisedLinear(
        weight=np.ascontiguousarray(linear.weight[:, columns]),
        bias=linear.bias if columns.start == 0 else np.zeros_like(linear.bias),
        multiplier=linear.multiplier,
        shift=linear.shift,
    )


def _norm(random: np.random.Generator, d: ModelDescription, *, post: bool) -> QuantisedNorm:
    """Normalised values in units of about 2^-12, then a gain that brings them to `_NORMED`.

    post: the INT16 row of a post-norm model is the same in finer steps, of about 2000.
    """
    channels = d.width
    multiplier, shift = scale_parts(np.array(16 / channels), "mean")
    gain = np.rint(4096 * random.uniform(0.7, 1.3, channels)).astype(np.int16)
    offset = random.normal(0, 2048, channels) if d.biases else np.zeros(channels)
    return QuantisedNorm(
        gain=gain,
        offset=np.rint(offset).astype(np.int16),
        epsilon=channels * channels,
        mean_multiplier=int(multiplier),
        mean_shift=int(shift),
        norm_shift=7 - round(math.log2(channels)),
        offset_shift=8,
        output_shift=_NORM_SHIFT,
        rms=d.norm == "rms",
        residual_shift=_NORM_SHIFT - 2 if post else None,
    )


def _attention(random: np.random.Generator, d: ModelDescription) -> dict[str, tuple[int, ...]]:
    heads = d.kv_heads
    products = math.sqrt(d.head_dim) * _INT8 * _INT8
    multiplier, shift = scale_parts(_SCORE / products * random.uniform(0.5, 2, heads), "scores")
    # multiplier * 2^(-1 - shift) is the gain on the mean of V: 2^7 to 2^8.
    gain = random.integers(1 << 15, 1 << 16, heads)
    return {
        "score_multiplier": tuple(int(value) for value in multiplier),
        "score_shift": tuple(int(value) for value in shift),
        "output_multiplier": tuple(int(value) for value in gain),
        "output_shift": (7,) * heads,
    }
