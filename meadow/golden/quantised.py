# SPDX-License-Identifier: Apache-2.0
"""A quantised decoder: the integers that the compiler lays out and the golden tiers compute with.

Shape letters: d width, e elements per head, H hidden block. A real value is an integer times its
scale; the only scales kept are those at the two ends (`residual_scale`, `logits_scale`), all
others live in multipliers and shifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8, MAX_SHIFT, MULTIPLIER_BITS

__all__ = [
    "QuantisedLayer",
    "QuantisedLinear",
    "QuantisedModel",
    "QuantisedNorm",
    "hidden_slices",
]


def hidden_slices(hidden: int, hidden_block: int) -> tuple[slice, ...]:
    """The hidden blocks: channels [0, H), [H, 2H), ...; the last one may be shorter."""
    if hidden_block < 1:
        raise ValueError(f"hidden_block must be at least 1, not {hidden_block}")
    return tuple(
        slice(start, min(start + hidden_block, hidden)) for start in range(0, hidden, hidden_block)
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedLinear:
    """`y = requantise(x @ weight.T + bias, multiplier, shift)`, per output channel.

    weight: int8 [out, in], -127..127; bias: int32 [out], in accumulator units;
    multiplier: uint16 [out]; shift: uint8 [out], 1..47.

    Raises ValueError for another type or shape, or a value out of range.
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ValueError(f"weight must have the shape [out, in], not {list(self.weight.shape)}")
        channels = self.weight.shape[:1]
        _require_array("weight", self.weight, np.int8, self.weight.shape)
        _require_array("bias", self.bias, np.int32, channels)
        _require_array("multiplier", self.multiplier, np.uint16, channels)
        _require_array("shift", self.shift, np.uint8, channels)
        _require_range("weight", self.weight, -LIMIT_INT8, LIMIT_INT8)
        _require_range("shift", self.shift, 1, MAX_SHIFT)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        """Input channels."""
        return self.weight.shape[1]

    @cached_property
    def operand(self) -> np.ndarray:
        """The weight as float32 [out, in], made at first use, for products in BLAS."""
        return self.weight.astype(np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedNorm:
    """Parameters of `numerics.layer_norm_row`, the fields of a NORM command.

    gain, offset: int16 [d]; epsilon: 1..2^60-1; mean_multiplier: unsigned 16 bit; mean_shift:
    1..47; norm_shift: -128..127; offset_shift: 0..16; output_shift: 1..32; rms: the mean is taken
    as 0. ValueError for a value out of range.
    """

    gain: np.ndarray
    offset: np.ndarray
    epsilon: int
    mean_multiplier: int
    mean_shift: int
    norm_shift: int
    offset_shift: int
    output_shift: int
    rms: bool = False

    def __post_init__(self) -> None:
        if self.gain.ndim != 1:
            raise ValueError(f"gain must have the shape [d], not {list(self.gain.shape)}")
        _require_array("gain", self.gain, np.int16, self.gain.shape)
        _require_array("offset", self.offset, np.int16, self.gain.shape)
        for name, low, high in (
            ("epsilon", 1, (1 << 60) - 1),
            ("mean_multiplier", 0, (1 << MULTIPLIER_BITS) - 1),
            ("mean_shift", 1, MAX_SHIFT),
            ("norm_shift", -128, 127),
            ("offset_shift", 0, 16),
            ("output_shift", 1, 32),
        ):
            _require_integer(name, getattr(self, name), low, high)

    @property
    def channels(self) -> int:
        """d, the true channels."""
        return len(self.gain)


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedLayer:
    """One pre-norm decoder layer.

    q: [heads*e, d]; k, v: [kv_heads*e, d], INT8 outputs; o: [d, heads*e], added to the residual;
    fc1: [hidden, d], INT8 after ReLU; fc2: one matrix [d, H] per hidden block in order, each added
    to the residual, the bias in block 0 only;
    score_multiplier, score_shift, output_multiplier, output_shift: one per KV head, the fields of
    an ATTEND command. ValueError for a value out of range.
    """

    attention_norm: QuantisedNorm
    q: QuantisedLinear
    k: QuantisedLinear
    v: QuantisedLinear
    o: QuantisedLinear
    mlp_norm: QuantisedNorm
    fc1: QuantisedLinear
    fc2: tuple[QuantisedLinear, ...]
    score_multiplier: tuple[int, ...]
    score_shift: tuple[int, ...]
    output_multiplier: tuple[int, ...]
    output_shift: tuple[int, ...]

    def __post_init__(self) -> None:
        heads = len(self.score_multiplier)
        for name, low, high in (
            ("score_multiplier", 0, (1 << MULTIPLIER_BITS) - 1),
            ("score_shift", 1, MAX_SHIFT),
            ("output_multiplier", 0, (1 << MULTIPLIER_BITS) - 1),
            ("output_shift", -64, 63),
        ):
            values = getattr(self, name)
            if len(values) != heads:
                raise ValueError(f"{name} must have one value per KV head ({heads}): {values}")
            for value in values:
                _require_integer(name, value, low, high)
        for index, block in enumerate(self.fc2):
            if index and block.bias.any():
                raise ValueError(f"fc2 block {index} must not have a bias; block 0 carries it")


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedModel:
    """A whole decoder in integers.

    description: sizes and rules;
    hidden_block: H, hidden channels per pass of the MLP, the last block may be shorter;
    layers: `description.layers` of them; final_norm; head: [vocabulary, d], INT16 logits;
    embed_tokens: int16 [vocabulary, d];
    embed_positions: int16 [max_positions, d], row p is position p;
    residual_scale, logits_scale: real value of one residual or logit unit;
    notes: how it was made, JSON-ready, without effect on results.

    Raises ValueError when the parts do not fit each other.
    """

    description: ModelDescription
    hidden_block: int
    layers: tuple[QuantisedLayer, ...]
    final_norm: QuantisedNorm
    head: QuantisedLinear
    embed_tokens: np.ndarray
    embed_positions: np.ndarray
    residual_scale: float
    logits_scale: float
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        d = self.description
        _require_array("embed_tokens", self.embed_tokens, np.int16, (d.vocabulary, d.width))
        shape = (d.max_positions, d.width)
        _require_array("embed_positions", self.embed_positions, np.int16, shape)
        for name in ("residual_scale", "logits_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, not {getattr(self, name)}")
        if len(self.layers) != d.layers:
            raise ValueError(f"the model must have {d.layers} layers, not {len(self.layers)}")
        _require_matrix("head", self.head, d.vocabulary, d.width)
        blocks = hidden_slices(d.hidden, self.hidden_block)
        key_value = d.kv_heads * d.head_dim
        for index, layer in enumerate(self.layers):
            prefix = f"layers.{index}."
            _require_matrix(prefix + "q", layer.q, d.heads * d.head_dim, d.width)
            _require_matrix(prefix + "k", layer.k, key_value, d.width)
            _require_matrix(prefix + "v", layer.v, key_value, d.width)
            _require_matrix(prefix + "o", layer.o, d.width, d.heads * d.head_dim)
            _require_matrix(prefix + "fc1", layer.fc1, d.hidden, d.width)
            if len(layer.fc2) != len(blocks):
                raise ValueError(
                    f"{prefix}fc2 must have {len(blocks)} blocks of {self.hidden_block} hidden "
                    f"channels, not {len(layer.fc2)}"
                )
            for part, (matrix, block) in enumerate(zip(layer.fc2, blocks, strict=True)):
                _require_matrix(
                    f"{prefix}fc2 block {part}", matrix, d.width, block.stop - block.start
                )
            if len(layer.score_multiplier) != d.kv_heads:
                raise ValueError(
                    f"{prefix}score_multiplier must have {d.kv_heads} values, "
                    f"not {len(layer.score_multiplier)}"
                )
        for norm in self.norms:
            if norm.channels != d.width:
                raise ValueError(f"a norm must have {d.width} channels, not {norm.channels}")

    @property
    def norms(self) -> tuple[QuantisedNorm, ...]:
        """All norms in the order of execution."""
        pairs = ((layer.attention_norm, layer.mlp_norm) for layer in self.layers)
        return (*(norm for pair in pairs for norm in pair), self.final_norm)

    @property
    def blocks(self) -> tuple[slice, ...]:
        """Hidden channels of each hidden block."""
        return hidden_slices(self.description.hidden, self.hidden_block)

    def embed(self, tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Residual rows int16 [n, d] = sat16(embed_tokens[token] + embed_positions[position])."""
        rows = self.embed_tokens[tokens].astype(np.int32) + self.embed_positions[positions]
        return np.clip(rows, -(1 << 15), (1 << 15) - 1).astype(np.int16)


def _require_array(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} {list(shape)}, not {array.dtype} {list(array.shape)}"
        )


def _require_range(name: str, array: np.ndarray, low: int, high: int) -> None:
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"{name} must be within {low}..{high}, not {array.min()}..{array.max()}")


def _require_integer(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer in {low}..{high}, not {value!r}")


def _require_matrix(name: str, matrix: QuantisedLinear, outputs: int, inputs: int) -> None:
    if matrix.weight.shape != (outputs, inputs):
        raise ValueError(
            f"{name} must have the shape [{outputs}, {inputs}], not {list(matrix.weight.shape)}"
        )
