# SPDX-License-Identifier: Apache-2.0
"""Lowering of what comes out of a model: the LM head in pieces, or the residual rows themselves."""

from __future__ import annotations

from meadow.compiler.lowering.layout import Area
from meadow.compiler.lowering.lowering import Lowering
from meadow.compiler.lowering.mlp import row_part
from meadow.compiler.packing.packing import pad_linear
from meadow.model.quantised import QuantisedLinear, QuantisedNorm
from meadow.spec.commands import (
    Opcode,
    Outputs,
    RowSet,
    TrafficClass,
    VectorFunction,
)
from meadow.spec.config import BEAT_BYTES
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.image import LogitsPiece

__all__ = ["lower_outputs"]

_ANY_OUTPUT = Outputs.ARGMAX | Outputs.LOGITS


def lower_outputs(lowering: Lowering) -> list[LogitsPiece]:
    """Logits and arg-max, or the hidden states of a model without head; it is skipped when nothing
    is asked of it. The pieces have offsets from the start of the region `logits`."""
    model, width = lowering.model, lowering.sizes.width
    if model.final_norm is None or model.head is None:
        _store(lowering, "hidden_store", lowering.plan.residual, 0, width, RowSet.CHUNK)
        return [LogitsPiece(0, 0, width)]
    return _head(lowering, model.final_norm, model.head)


def _head(lowering: Lowering, norm: QuantisedNorm, head: QuantisedLinear) -> list[LogitsPiece]:
    sizes, plan, assembler = lowering.sizes, lowering.plan, lowering.assembler
    assembler.norm(
        "final_norm",
        norm,
        sizes.width,
        plan.residual,
        plan.norm,
        row_set=RowSet.HEAD,
        condition=_ANY_OUTPUT,
    )
    pieces, step = [], plan.logit_slices * lowering.config.width
    for part, first in enumerate(range(0, sizes.vocabulary, step)):
        channels = min(step, sizes.vocabulary - first)
        linear = row_part(head, slice(first, min(first + channels, head.outputs)))
        piece = LogitsPiece(plan.tokens * 2 * first // BEAT_BYTES, first, channels)
        pieces.append(piece)
        assembler.matmul(
            f"head.{part}",
            linear,
            pad_linear(linear, channels, sizes.width),
            plan.norm,
            plan.logits,
            MatmulOutput.LOGITS16,
            row_set=RowSet.HEAD,
            condition=_ANY_OUTPUT,
            first_channel=first,
            restart=int(part == 0),
        )
        _store(lowering, f"head.{part}_store", plan.logits, piece.offset, channels, RowSet.HEAD)
    assembler.emit(
        "argmax",
        Opcode.VECTOR,
        condition=Outputs.ARGMAX,
        function=VectorFunction.ARGMAX,
        destination=plan.argmax.base,
        destination_stride=plan.argmax.stride,
        row_set=RowSet.HEAD,
    )
    assembler.emit(
        "argmax_store",
        Opcode.STORE,
        condition=Outputs.ARGMAX,
        region="argmax",
        source=plan.argmax.base,
        source_stride=plan.argmax.stride,
        segments=1,
        segment_beats=1,
        row_set=RowSet.HEAD,
        traffic=TrafficClass.ACTIVATIONS,
    )
    return pieces


def _store(
    lowering: Lowering, label: str, area: Area, offset: int, channels: int, row_set: RowSet
) -> None:
    """STORE of INT16 rows to the region `logits`."""
    lowering.assembler.emit(
        label,
        Opcode.STORE,
        condition=Outputs.LOGITS,
        region="logits",
        source=area.base,
        source_stride=area.stride,
        offset=offset,
        segments=1,
        segment_beats=2 * channels // BEAT_BYTES,
        row_set=row_set,
        traffic=TrafficClass.ACTIVATIONS,
    )
