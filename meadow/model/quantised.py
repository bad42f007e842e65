# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: the parts of one model and how they must fit each other.
"""A quantised transformer: the integers that the compiler lays out and the golden tiers compute
with.

Shape letters: d width, e elements per head, H hidden block. A real value is an integer times its
scale; the only scales kept are those at the two ends (`residual_scale`, `logits_scale`), all
others live in multipliers and shifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meadow.model.checks import (
    require_array,
    require_integer,
    require_matrix,
    require_presence,
    require_range,
)
from meadow.model.hidden_blocks import hidden_slices
from meadow.model.prefix import QuantisedPrefix
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8, MAX_SHIFT, MULTIPLIER_BITS, TABLE_ENTRIES

__all__ = [
    "QuantisedLayer",
    "QuantisedLinear",
    "QuantisedModel",
    "QuantisedNorm",
]


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
        require_array("weight", self.weight, np.int8, self.weight.shape)
        require_array("bias", self.bias, np.int32, channels)
        require_array("multiplier", self.multiplier, np.uint16, channels)
        require_array("shift", self.shift, np.uint8, channels)
        require_range("weight", self.weight, -LIMIT_INT8, LIMIT_INT8)
        require_range("shift", self.shift, 1, MAX_SHIFT)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        """Input channels."""
        return self.weight.shape[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedNorm:
    """Parameters of `numerics.layer_norm_row`, the fields of a NORM command.

    gain, offset: int16 [d]; epsilon: 1..2^60-1; mean_multiplier: unsigned 16 bit; mean_shift:
    1..47; norm_shift: -128..127; offset_shift: 0..16; output_shift: 1..32; rms: the mean is taken
    as 0; residual_shift: 1..32, the shift that gives the INT16 row which a post-norm model goes on
    with as its residual, None if the residual stays. ValueError for a value out of range.
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
    residual_shift: int | None = None

    def __post_init__(self) -> None:
        if self.gain.ndim != 1:
            raise ValueError(f"gain must have the shape [d], not {list(self.gain.shape)}")
        require_array("gain", self.gain, np.int16, self.gain.shape)
        require_array("offset", self.offset, np.int16, self.gain.shape)
        for name, low, high in (
            ("epsilon", 1, (1 << 60) - 1),
            ("mean_multiplier", 0, (1 << MULTIPLIER_BITS) - 1),
            ("mean_shift", 1, MAX_SHIFT),
            ("norm_shift", -128, 127),
            ("offset_shift", 0, 16),
            ("output_shift", 1, 32),
        ):
            require_integer(name, getattr(self, name), low, high)
        if self.residual_shift is not None:
            require_integer("residual_shift", self.residual_shift, 1, 32)

    @property
    def channels(self) -> int:
        """d, the true channels."""
        return len(self.gain)

    def shift_of(self, *, as_residual: bool) -> int:
        """The last shift of the row that words are made of, or of the one that replaces the
        residual; ValueError if none does.
        """
        shift = self.residual_shift if as_residual else self.output_shift
        if shift is None:
            raise ValueError("a norm without residual_shift does not replace the residual")
        return shift


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedLayer:
    """One layer.

    attention_norm, mlp_norm: in front of attention and MLP, or (with residual_shift) on the sum
    behind them;
    q: [heads*e, d]; k, v: [kv_heads*e, d], INT8 outputs; o: [d, heads*e], added to the residual;
    rotary_shift: 1..31, q and k give INT16 that is rotated to INT8 with this shift, the channels of
    a head in pairs (2i, 2i+1); 0: no rotation;
    activation_table: int16 [2048], fc1 gives INT16 that goes through it; None: ReLU;
    fc1: [hidden, d], INT16 after the activation; up: [hidden, d], gated models: its INT16 outputs
    multiply the activation, gate_shift (1..31, else 0) brings the product back to INT16;
    fc2: one matrix [d, H] per hidden block in order, each added to the residual, the bias in block
    0 only;
    score_multiplier, score_shift, output_multiplier, output_shift: one per KV head, the fields of
    an ATTEND command whose output is 16 bits wide. ValueError for a value out of range.

    The inputs of q, k, v, o, fc1, up and fc2 are words with exponents (`numerics.word_exponent`),
    made of these 16-bit values. Heads that are narrower than a word have no exponents of their own:
    their output is rounded to 8 bits in steps of 2^7, whatever W is, so that the matrix `o` is the
    same.
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
    up: QuantisedLinear | None = None
    activation_table: np.ndarray | None = None
    gate_shift: int = 0
    rotary_shift: int = 0

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
                require_integer(name, value, low, high)
        gated = int(self.up is not None)
        if gated and self.activation_table is None:
            raise ValueError("activation_table must be given where `up` multiplies the activation")
        require_integer("gate_shift", self.gate_shift, gated, 31 * gated)
        require_integer("rotary_shift", self.rotary_shift, 0, 31)
        if self.activation_table is not None:
            require_array("activation_table", self.activation_table, np.int16, (TABLE_ENTRIES,))
        for index, block in enumerate(self.fc2):
            if index and block.bias.any():
                raise ValueError(f"fc2 block {index} must not have a bias; block 0 carries it")


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedModel:
    """A whole transformer in integers.

    description: sizes and rules;
    hidden_block: H, hidden channels per pass of the MLP, the last block may be shorter;
    layers: `description.layers` of them;
    final_norm; head: [vocabulary, d], INT16 logits; both None for the outputs "hidden";
    embedding_norm: on the embeddings, post-norm models only;
    embed_tokens: int16 [vocabulary, d];
    embed_positions: int16 [max_positions, d], row p is position p; None: nothing is added, which
    rotary models may do;
    rotary: int16 [max_positions, e/2, 2], cosine and sine in Q14 of pair i of a head at position p;
    None for models without;
    prefix: what every sequence begins behind, None for nothing;
    residual_scale, logits_scale: real value of one residual or logit unit;
    notes: how it was made, JSON-ready, without effect on results.

    Raises ValueError when the parts do not fit each other or the description.
    """

    description: ModelDescription
    hidden_block: int
    layers: tuple[QuantisedLayer, ...]
    embed_tokens: np.ndarray
    residual_scale: float
    logits_scale: float
    embed_positions: np.ndarray | None = None
    final_norm: QuantisedNorm | None = None
    head: QuantisedLinear | None = None
    embedding_norm: QuantisedNorm | None = None
    rotary: np.ndarray | None = None
    prefix: QuantisedPrefix | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        d = self.description
        require_array("embed_tokens", self.embed_tokens, np.int16, (d.vocabulary, d.width))
        if self.embed_positions is not None:
            shape = (d.max_positions, d.width)
            require_array("embed_positions", self.embed_positions, np.int16, shape)
        elif not d.rotary_base:
            raise ValueError("embed_positions must be given for a model without rotary positions")
        require_presence("rotary", self.rotary, bool(d.rotary_base))
        if self.rotary is not None:
            shape = (d.max_positions, d.head_dim // 2, 2)
            require_array("rotary", self.rotary, np.int16, shape)
        for name in ("residual_scale", "logits_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, not {getattr(self, name)}")
        if len(self.layers) != d.layers:
            raise ValueError(f"the model must have {d.layers} layers, not {len(self.layers)}")
        require_presence("embedding_norm", self.embedding_norm, d.norm_order == "post")
        require_presence("final_norm", self.final_norm, d.outputs == "tokens")
        require_presence("head", self.head, d.outputs == "tokens")
        if self.head is not None:
            require_matrix("head", self.head.weight, d.vocabulary, d.width)
        shapes = d.tensor_shapes
        for index, layer in enumerate(self.layers):
            self._check_layer(f"layers.{index}.", layer, shapes)
        for norm in self.norms:
            if norm.channels != d.width:
                raise ValueError(f"a norm must have {d.width} channels, not {norm.channels}")
            if norm.rms != (d.norm == "rms"):
                raise ValueError(f"rms of a norm must be {d.norm == 'rms'}, not {norm.rms}")
            post = d.norm_order == "post" and norm is not self.final_norm
            require_presence("residual_shift of a norm", norm.residual_shift, post)
        if self.prefix is not None:
            self.prefix.check(d)

    def _check_layer(
        self, prefix: str, layer: QuantisedLayer, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        d = self.description
        blocks = hidden_slices(d.hidden, self.hidden_block)
        require_presence(prefix + "up", layer.up, d.gated)
        for part in ("q", "k", "v", "o", "fc1", *(["up"] if d.gated else [])):
            weight: np.ndarray = getattr(layer, part).weight
            require_matrix(prefix + part, weight, *shapes[f"{prefix}{part}.weight"])
        require_presence(
            prefix + "activation_table", layer.activation_table, d.activation != "relu"
        )
        if (layer.rotary_shift > 0) != bool(d.rotary_base):
            rule = "1..31" if d.rotary_base else "0"
            raise ValueError(f"{prefix}rotary_shift must be {rule}, not {layer.rotary_shift}")
        if len(layer.fc2) != len(blocks):
            raise ValueError(
                f"{prefix}fc2 must have {len(blocks)} blocks of {self.hidden_block} hidden "
                f"channels, not {len(layer.fc2)}"
            )
        for part, (matrix, block) in enumerate(zip(layer.fc2, blocks, strict=True)):
            require_matrix(
                f"{prefix}fc2 block {part}", matrix.weight, d.width, block.stop - block.start
            )
        if len(layer.score_multiplier) != d.kv_heads:
            raise ValueError(
                f"{prefix}score_multiplier must have {d.kv_heads} values, "
                f"not {len(layer.score_multiplier)}"
            )

    @property
    def start(self) -> int:
        """Position of the first token of a sequence: behind the prefix."""
        return 0 if self.prefix is None else len(self.prefix)

    @property
    def norms(self) -> tuple[QuantisedNorm, ...]:
        """All norms in the order of execution."""
        pairs = ((layer.attention_norm, layer.mlp_norm) for layer in self.layers)
        found = (self.embedding_norm, *(norm for pair in pairs for norm in pair), self.final_norm)
        return tuple(norm for norm in found if norm is not None)

    @property
    def blocks(self) -> tuple[slice, ...]:
        """Hidden channels of each hidden block."""
        return hidden_slices(self.description.hidden, self.hidden_block)

    def embed(self, tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Residual rows int16 [n, d] = sat16(embed_tokens[token] + embed_positions[position]).

        Of a post-norm model what the embedding norm takes in.
        """
        if self.embed_positions is None:
            return self.embed_tokens[tokens]
        rows = self.embed_tokens[tokens].astype(np.int32) + self.embed_positions[positions]
        return np.clip(rows, -(1 << 15), (1 << 15) - 1).astype(np.int16)
