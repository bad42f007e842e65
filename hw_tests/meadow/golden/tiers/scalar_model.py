# SPDX-License-Identifier: Apache-2.0
"""A whole quantised model in plain Python on `meadow.spec.numerics`, row by row."""

from __future__ import annotations

import dataclasses

import numpy as np

from hw_tests.scalar_attention import ScalarAttention
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedModel, QuantisedNorm
from meadow.spec import numerics as scalar
from meadow.spec.config import AcceleratorConfig

__all__ = ["scalar_forward"]


def _scalar_linear(x: list[int], matrix: QuantisedLinear, bits: int) -> list[int]:
    result = []
    for channel in range(matrix.outputs):
        total = sum(a * b for a, b in zip(x, matrix.weight[channel].tolist(), strict=True))
        result.append(
            scalar.requantise(
                total + int(matrix.bias[channel]),
                int(matrix.multiplier[channel]),
                int(matrix.shift[channel]),
                bits,
            )
        )
    return result


def _scalar_norm(
    x: list[int], parameters: QuantisedNorm, *, as_residual: bool = False
) -> list[int]:
    fields = dataclasses.asdict(parameters)
    gain, offset = fields.pop("gain").tolist(), fields.pop("offset").tolist()
    residual_shift = fields.pop("residual_shift")
    if as_residual:
        fields["output_shift"] = residual_shift
    return scalar.layer_norm_row(x, gain, offset, channels=len(x), **fields)


def _scalar_words(x: list[int], width: int, padding: int = 0) -> list[int]:
    """What the words stand for that are made of these values."""
    result = []
    for start in range(0, len(x), width):
        word = x[start : start + width]
        filled = word + [padding] * (width - len(word))
        exponent = scalar.word_exponent(filled)
        result += [value << exponent for value in scalar.word_values(word, exponent)]
    return result


def _scalar_rotate(x: list[int], model: QuantisedModel, position: int, shift: int) -> list[int]:
    assert model.rotary is not None
    pairs, result = model.rotary[position].tolist(), []
    for index in range(0, len(x), 2):
        cosine, sine = pairs[index // 2 % len(pairs)]
        result += scalar.rotate(x[index], x[index + 1], cosine, sine, shift)
    return result


def _scalar_mlp_hidden(y: list[int], layer: QuantisedLayer) -> list[int]:
    if layer.activation_table is None:
        return [max(0, value) for value in _scalar_linear(y, layer.fc1, 16)]
    table = layer.activation_table.tolist()
    mlp_hidden = [table[scalar.table_index(value)] for value in _scalar_linear(y, layer.fc1, 16)]
    if layer.up is None:
        return mlp_hidden
    up = _scalar_linear(y, layer.up, 16)
    return [scalar.gate(a, b, layer.gate_shift) for a, b in zip(mlp_hidden, up, strict=True)]


def scalar_forward(
    model: QuantisedModel, tokens: list[int], config: AcceleratorConfig, dataflow: str = "tphs"
) -> np.ndarray:
    """The whole model in plain Python, layer by layer over the whole sequence."""
    d, post, width = model.description, model.description.norm_order == "post", config.width
    narrow = max(16, 1 << (d.head_dim - 1).bit_length()) < width
    attended = {"tphs": ScalarAttention.online, "gemm": ScalarAttention.layerwise}[dataflow]
    rows = model.embed_tokens[tokens].tolist()
    if model.embed_positions is not None:
        rows = [
            _scalar_add(x, p) for x, p in zip(rows, model.embed_positions.tolist(), strict=False)
        ]
    normed: list[list[int]] = []

    def post_norm(parameters: QuantisedNorm) -> None:
        normed[:] = [_scalar_words(_scalar_norm(x, parameters), width) for x in rows]
        rows[:] = [_scalar_norm(x, parameters, as_residual=True) for x in rows]

    if model.embedding_norm is not None:
        post_norm(model.embedding_norm)
    for layer in model.layers:
        if not post:
            normed = [_scalar_words(_scalar_norm(x, layer.attention_norm), width) for x in rows]
        bits = 16 if d.rotary_base else 8
        q, k = ([_scalar_linear(y, m, bits) for y in normed] for m in (layer.q, layer.k))
        v = [_scalar_linear(y, layer.v, 8) for y in normed]
        if d.rotary_base:
            q, k = (
                [_scalar_rotate(x, model, p, layer.rotary_shift) for p, x in enumerate(each)]
                for each in (q, k)
            )
        for position in range(len(tokens)):
            attention_out: list[int] = []
            for head in range(d.heads):
                pair = head // d.group_heads
                own = slice(head * d.head_dim, (head + 1) * d.head_dim)
                shared = slice(pair * d.head_dim, (pair + 1) * d.head_dim)
                head_scalar = ScalarAttention(
                    width=config.width,
                    probability_bits=config.probability_bits,
                    score=(layer.score_multiplier[pair], layer.score_shift[pair]),
                    output=(layer.output_multiplier[pair], layer.output_shift[pair] + 7 * narrow),
                    output_bits=8 if narrow else 16,
                )
                mixed = attended(
                    head_scalar,
                    q[position][own],
                    [row[shared] for row in k],
                    [row[shared] for row in v],
                    position + 1 if d.causal else len(tokens),
                )
                attention_out += [v << 7 for v in mixed] if narrow else _scalar_words(mixed, width)
            rows[position] = _scalar_add(rows[position], _scalar_linear(attention_out, layer.o, 16))
        if post:
            post_norm(layer.attention_norm)
        else:
            normed = [_scalar_words(_scalar_norm(x, layer.mlp_norm), width) for x in rows]
        # What an activation table makes of the zeros behind a hidden block.
        table = layer.activation_table
        padding = 0 if table is None or layer.up is not None else int(table[scalar.table_index(0)])
        for position, y in enumerate(normed):
            mlp_hidden = _scalar_mlp_hidden(y, layer)
            for matrix, block in zip(layer.fc2, model.blocks, strict=True):
                words = _scalar_words(mlp_hidden[block], width, padding)
                rows[position] = _scalar_add(rows[position], _scalar_linear(words, matrix, 16))
        if post:
            post_norm(layer.mlp_norm)
    if model.final_norm is None or model.head is None:
        return np.array(rows)
    normed = [_scalar_words(_scalar_norm(x, model.final_norm), width) for x in rows]
    return np.array([_scalar_linear(y, model.head, 16) for y in normed])


def _scalar_add(x: list[int], y: list[int]) -> list[int]:
    return [scalar.saturate(a + b, 16) for a, b in zip(x, y, strict=True)]
