# SPDX-License-Identifier: Apache-2.0
"""Lowering of the MLP by hidden blocks, and of the activation table."""

from __future__ import annotations

import numpy as np

from meadow.compiler.lowering.lowering import Lowering
from meadow.compiler.packing.packing import pad_linear
from meadow.model.quantised import QuantisedLayer, QuantisedLinear
from meadow.spec.commands import Space
from meadow.spec.epilogue import MatmulOutput

__all__ = ["load_table", "lower_mlp", "row_part"]


def load_table(lowering: Lowering, label: str, table: np.ndarray) -> None:
    """LOAD of an activation table, int16 [TABLE_ENTRIES]."""
    lowering.assembler.load_constant(label, Space.TABLE, table.astype("<i2").tobytes())


def lower_mlp(lowering: Lowering, index: int, layer: QuantisedLayer) -> None:
    """fc1, what multiplies it in a gated model, and fc2 onto the residual, hidden block by
    block.

    The activation of a gated model has 16 bits until it is multiplied: two words for the word that
    the product becomes, at the beginning of the same row.
    """
    plan, sizes, assembler = lowering.plan, lowering.sizes, lowering.assembler
    name = f"layers.{index}."
    activation = MatmulOutput.RELU if layer.activation_table is None else MatmulOutput.TABLE
    if layer.up is not None:
        activation = MatmulOutput.TABLE16
    for part, (block, fc2) in enumerate(zip(lowering.model.blocks, layer.fc2, strict=True)):
        hidden = sizes.hidden[part]
        fc1 = row_part(layer.fc1, block)
        padded = pad_linear(fc1, hidden, sizes.width)
        assembler.matmul(f"{name}fc1.{part}", fc1, padded, plan.norm, plan.hidden, activation)
        if layer.up is not None:
            up = row_part(layer.up, block)
            assembler.matmul(
                f"{name}up.{part}",
                up,
                pad_linear(up, hidden, sizes.width),
                plan.norm,
                plan.hidden,
                MatmulOutput.GATE,
                operand=plan.hidden.base,
                operand_stride=plan.hidden.stride,
                post_shift=layer.gate_shift,
            )
        padded = pad_linear(fc2, sizes.width, hidden)
        assembler.matmul(
            f"{name}fc2.{part}", fc2, padded, plan.hidden, plan.residual, MatmulOutput.RESIDUAL16
        )


def row_part(linear: QuantisedLinear, rows: slice) -> QuantisedLinear:
    """The output channels `rows` of a matrix."""
    return QuantisedLinear(
        weight=linear.weight[rows],
        bias=linear.bias[rows],
        multiplier=linear.multiplier[rows],
        shift=linear.shift[rows],
    )
