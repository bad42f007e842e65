# SPDX-License-Identifier: Apache-2.0
"""Descriptions of small models of every family, and random integers for them, without the
compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hw_tests.seeds import salted
from meadow.golden.tiers.float_operators import rotary_angles
from meadow.model.hidden_blocks import hidden_slices
from meadow.model.prefix import QuantisedPrefix
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedModel, QuantisedNorm
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription

__all__ = ["family_description", "random_model", "random_prefix"]


def family_description(architecture: str, **sizes: Any) -> ModelDescription:
    """Two layers of width 16 with the rules of a family; where keys are grouped (LLaMA), two query
    heads per KV head.
    """
    family = FAMILIES[architecture]
    values: dict[str, Any] = {
        "layers": 2,
        "width": 16,
        "heads": 4 if family.grouped_keys else 2,
        "kv_heads": 2,
        "head_dim": 8,
        "hidden": 24,
        "vocabulary": 20,
        "max_positions": 48,
        "tied_head": architecture == "opt",
        "bos_token": 1,
        "eos_token": 2,
    }
    if family.rotary:
        values["rotary_base"] = 100.0
    return ModelDescription.of_family(architecture, **values | sizes)


def random_prefix(d: ModelDescription, tokens: tuple[int, ...], *, seed: int) -> QuantisedPrefix:
    """Keys and values over the whole range."""
    random = np.random.default_rng(salted(seed))
    shape = (2, d.layers, d.kv_heads, len(tokens), d.head_dim)
    keys, values = random.integers(-127, 128, shape).astype(np.int8)
    return QuantisedPrefix(tokens=tokens, keys=keys, values=values)


def random_model(d: ModelDescription, *, hidden_block: int = 10, seed: int = 1) -> QuantisedModel:
    """Integers drawn so that every site uses its range and sometimes saturates (width about 16)."""
    random = np.random.default_rng(salted(seed))
    blocks = hidden_slices(d.hidden, hidden_block)
    post = d.norm_order == "post"
    # Shifts that bring accumulators of products with words to 8 and to 16 bits.
    narrow, wide = 30, 24
    turned = wide if d.rotary_base else narrow

    def matrix(outputs: int, inputs: int, shift: int, *, bias: bool = d.biases) -> QuantisedLinear:
        return _linear(random, outputs, inputs, shift=shift, bias=bias)

    def layer() -> QuantisedLayer:
        # Words of every exponent: of 16 neighbouring entries, and of all, the largest differ.
        table = random.integers(-32767, 32768, 2048) >> random.integers(0, 12, 2048)
        return QuantisedLayer(
            attention_norm=_norm(random, d, post=post),
            q=matrix(d.heads * d.head_dim, d.width, turned, bias=d.has_bias("q")),
            k=matrix(d.kv_heads * d.head_dim, d.width, turned, bias=d.has_bias("k")),
            v=matrix(d.kv_heads * d.head_dim, d.width, narrow, bias=d.has_bias("v")),
            o=matrix(d.width, d.heads * d.head_dim, wide),
            mlp_norm=_norm(random, d, post=post),
            fc1=matrix(d.hidden, d.width, wide),
            fc2=tuple(
                matrix(d.width, block.stop - block.start, wide, bias=index == 0 and d.biases)
                for index, block in enumerate(blocks)
            ),
            score_multiplier=tuple(random.integers(40000, 50000, d.kv_heads).tolist()),
            score_shift=tuple(random.integers(18, 21, d.kv_heads).tolist()),
            output_multiplier=tuple(random.integers(33000, 65000, d.kv_heads).tolist()),
            output_shift=tuple(random.integers(7, 10, d.kv_heads).tolist()),
            up=matrix(d.hidden, d.width, wide) if d.gated else None,
            activation_table=None if d.activation == "relu" else table.astype(np.int16),
            gate_shift=12 if d.gated else 0,
            rotary_shift=22 if d.rotary_base else 0,
        )

    def rows(count: int) -> np.ndarray:
        return random.integers(-9000, 9000, (count, d.width)).astype(np.int16)

    tokens = d.outputs == "tokens"
    angles = rotary_angles(np.arange(d.max_positions), d.head_dim, d.rotary_base or 2.0)
    turns = np.rint(np.stack([np.cos(angles), np.sin(angles)], axis=-1) * 2**14)
    return QuantisedModel(
        description=d,
        hidden_block=hidden_block,
        layers=tuple(layer() for _ in range(d.layers)),
        embedding_norm=_norm(random, d, post=True) if post else None,
        final_norm=_norm(random, d, post=False) if tokens else None,
        head=matrix(d.vocabulary, d.width, 18, bias=False) if tokens else None,
        embed_tokens=rows(d.vocabulary),
        embed_positions=None if d.rotary_base else rows(d.max_positions),
        rotary=turns.astype(np.int16) if d.rotary_base else None,
        residual_scale=1e-3,
        logits_scale=1e-3,
    )


def _linear(
    random: np.random.Generator, outputs: int, inputs: int, *, shift: int, bias: bool
) -> QuantisedLinear:
    return QuantisedLinear(
        weight=random.integers(-127, 128, (outputs, inputs)).astype(np.int8),
        bias=random.integers(-(1 << 21), 1 << 21, outputs).astype(np.int32) * bias,
        multiplier=random.integers(1 << 15, 1 << 16, outputs).astype(np.uint16),
        shift=random.integers(shift, shift + 3, outputs).astype(np.uint8),
    )


def _norm(random: np.random.Generator, d: ModelDescription, *, post: bool) -> QuantisedNorm:
    offset = random.integers(-20000, 20000, d.width).astype(np.int16)
    return QuantisedNorm(
        gain=random.integers(-20000, 20000, d.width).astype(np.int16),
        offset=offset if d.biases else np.zeros_like(offset),
        epsilon=1000,
        mean_multiplier=1 << 15,
        mean_shift=15,
        norm_shift=3,
        offset_shift=7,
        output_shift=14,
        rms=d.norm == "rms",
        residual_shift=14 if post else None,
    )
