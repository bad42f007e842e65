# SPDX-License-Identifier: Apache-2.0
"""Lowering of a quantised model onto a configuration: streams, memory maps, command program.

One program serves every step: prefill, decode, several sequences, logits or arg-max. Order within a
pre-norm layer: norm, attention onto the residual, norm, MLP onto the residual; a post-norm model
has each norm behind, where it replaces the residual too. The outputs follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meadow.compiler.lowering.assembler import Assembler
from meadow.compiler.lowering.attention import attend_heads, project_inputs, project_output
from meadow.compiler.lowering.baseline.gemm import gemm_heads
from meadow.compiler.lowering.baseline.predict import Rate, best_dataflow
from meadow.compiler.lowering.heads import HeadLayout
from meadow.compiler.lowering.layout import (
    ActivationPlan,
    CacheLayout,
    CompileError,
    Sizes,
    plan_activations,
    plan_cache,
    plan_sizes,
)
from meadow.compiler.lowering.lowering import Lowering
from meadow.compiler.lowering.mlp import load_table, lower_mlp
from meadow.compiler.lowering.outputs import lower_outputs
from meadow.model.quantised import QuantisedLayer, QuantisedModel, QuantisedNorm
from meadow.spec.checks import check_choice
from meadow.spec.commands import Command, Opcode, RowSet, Space, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.image import LogitsPiece, MatrixFacts
from meadow.spec.parts import require_baseline

__all__ = ["DATAFLOWS", "Program", "compile_program"]

DATAFLOWS: Mapping[str, Callable[[Lowering, int, QuantisedLayer], None]] = {
    "tphs": attend_heads,
    "gemm": gemm_heads,
}
"""What a layer's attention may be between its projections: from Q in its place and K and V stored,
to the attention output in place of Q."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A model lowered onto a configuration.

    dataflow: of each layer; step: the only one it serves, None for any; commands, labels: the
        program and "layer.part" names of its commands;
    dram: uint8, the constant start of the window: streams, norm parameters, tables, program;
    regions: {name: (offset, beats)} of program, embeddings, rotary (models with rotary positions),
    argmax (models with a head), logits, dump;
    kv_start: first beat free for KV caches; rotary: int16 [max_positions, rotary_words * W/2], rows
    for the region `rotary`, [0, 0] without.
    """

    config: AcceleratorConfig
    context: int
    dataflow: tuple[str, ...]
    step: tuple[int, int] | None
    sizes: Sizes
    plan: ActivationPlan
    cache: CacheLayout
    commands: tuple[Command, ...]
    labels: tuple[str, ...]
    dram: np.ndarray
    regions: dict[str, tuple[int, int]]
    logits: tuple[LogitsPiece, ...]
    kv_start: int
    rotary: np.ndarray
    matrices: tuple[MatrixFacts, ...]


def compile_program(
    model: QuantisedModel,
    config: AcceleratorConfig,
    *,
    codec: str = "auto",
    context: int | None = None,
    dataflow: str | Sequence[str] = "tphs",
    step: tuple[int, int] | None = None,
    bytes_per_cycle: float | None = None,
) -> Program:
    """Lower `model`.

    context: tokens per sequence, those of the model's prefix included, by default all that model
    and configuration allow; dataflow: of
    `DATAFLOWS`, one for all layers or one for each, or "auto", per layer the one with fewer
    predicted cycles; codec: see `pack_matrix`; step: see `Lowering`; bytes_per_cycle: DRAM speed
    that predictions assume, by default what the ports can take.

    CompileError (a ValueError) names the rule and the value that the configuration cannot hold,
    MissingPart (one too) the part that it does not have, ValueError an unknown dataflow.
    """
    d = model.description
    if context is None:
        context = min(d.max_positions, config.max_context)
    rate = Rate.of(config, bytes_per_cycle)
    cache = plan_cache(d, config, context, prefix=model.start)
    if step is not None and step[0] < model.start:
        raise CompileError(
            f"a step must start behind the prefix of the model, at position {model.start} or "
            f"later, not at {step[0]}"
        )
    sizes = plan_sizes(d, model.hidden_block, config)
    plan = plan_activations(sizes, config)
    only = plan if step is None else plan_activations(sizes, config, most=step[1])
    if dataflow == "auto":
        dataflow = "tphs"
        if step is not None and config.baseline:
            dataflow = best_dataflow(d, config, only, step, rate)
    dataflows = (dataflow,) * d.layers if isinstance(dataflow, str) else tuple(dataflow)
    if len(dataflows) != d.layers:
        raise ValueError(f"dataflow must be given for {d.layers} layers, not {len(dataflows)}")
    for name in dataflows:
        check_choice("dataflow", name, (*DATAFLOWS, "auto"))
    if "gemm" in dataflows:
        require_baseline(config)
        plan = only  # what the step's tokens do not need is room for scores
    else:
        step = None
    lowering = Lowering(
        model=model,
        config=config,
        sizes=sizes,
        plan=plan,
        cache=cache,
        heads=HeadLayout.of(d, config),
        assembler=Assembler(config, codec),
        step=step,
        rate=rate,
    )
    pieces = _emit(lowering, dataflows)
    return _place(lowering, context, dataflows, pieces)


def _emit(lowering: Lowering, dataflows: Sequence[str]) -> list[LogitsPiece]:
    """All commands; the pieces of the logits."""
    model, plan, sizes = lowering.model, lowering.plan, lowering.sizes
    _load_rows(lowering, "embed", "embeddings", plan.residual.base, 2 * sizes.width)
    if sizes.rotary:
        _load_rows(lowering, "rotary", "rotary", plan.rotary.base, sizes.rotary)
    if model.embedding_norm is not None:
        _norm(lowering, "embedding_norm", model.embedding_norm)
    loaded = None
    for index, (layer, dataflow) in enumerate(zip(model.layers, dataflows, strict=True)):
        name = f"layers.{index}."
        before = model.description.norm_order == "pre"
        if before:
            _norm(lowering, name + "attention_norm", layer.attention_norm)
        project_inputs(lowering, index, layer)
        table = layer.activation_table
        if table is not None and not (loaded is not None and np.array_equal(table, loaded)):
            # Here the last MLP is over, and what ATTEND reads has to wait for the stores anyway.
            load_table(lowering, name + "table_load", table)
            loaded = table
        DATAFLOWS[dataflow](lowering, index, layer)
        project_output(lowering, index, layer)
        if not before:
            _norm(lowering, name + "attention_norm", layer.attention_norm)
        else:
            _norm(lowering, name + "mlp_norm", layer.mlp_norm)
        lower_mlp(lowering, index, layer)
        if not before:
            _norm(lowering, name + "mlp_norm", layer.mlp_norm)
    pieces = lower_outputs(lowering)
    lowering.assembler.emit("end", Opcode.END)
    return pieces


def _place(
    lowering: Lowering, context: int, dataflows: tuple[str, ...], pieces: list[LogitsPiece]
) -> Program:
    """Everything in the DMA window."""
    sizes, plan, assembler = lowering.sizes, lowering.plan, lowering.assembler
    assembler.place_program()
    assembler.region("embeddings", plan.tokens * 2 * sizes.width // BEAT_BYTES)
    if sizes.rotary:
        assembler.region("rotary", plan.tokens * sizes.rotary // BEAT_BYTES)
    if sizes.vocabulary:
        assembler.region("argmax", plan.tokens)
    channels = sum(piece.channels for piece in pieces)
    logits = assembler.region("logits", plan.tokens * 2 * channels // BEAT_BYTES)
    for name, beats in lowering.regions.items():
        assembler.region(name, beats)
    assembler.region("dump", lowering.config.activation_words * lowering.config.word_beats)
    dram, kv_start = assembler.finish(plan.tokens)
    rotary_table = lowering.model.rotary
    return Program(
        config=lowering.config,
        context=context,
        dataflow=dataflows,
        step=lowering.step,
        sizes=sizes,
        plan=plan,
        cache=lowering.cache,
        commands=tuple(assembler.commands),
        labels=tuple(assembler.labels),
        dram=dram,
        regions=assembler.regions,
        logits=tuple(
            LogitsPiece(logits + piece.offset, piece.first_channel, piece.channels)
            for piece in pieces
        ),
        kv_start=kv_start,
        rotary=np.zeros((0, 0), "<i2")
        if rotary_table is None
        else lowering.heads.rotary_rows(rotary_table),
        matrices=tuple(assembler.matrices),
    )


def _norm(lowering: Lowering, label: str, norm: QuantisedNorm) -> None:
    plan = lowering.plan
    lowering.assembler.norm(label, norm, lowering.sizes.width, plan.residual, plan.norm)


def _load_rows(
    lowering: Lowering, label: str, region: str, destination: int, row_bytes: int
) -> None:
    """LOAD of what the host fills in for the rows of a step; embeddings are its activations, the
    cosines and sines constants of the model."""
    beats = row_bytes // BEAT_BYTES
    lowering.assembler.emit(
        label,
        Opcode.LOAD,
        region=region,
        destination=destination,
        destination_stride=beats // lowering.config.word_beats,
        space=Space.ACTIVATION,
        row_beats=beats,
        row_set=RowSet.CHUNK,
        traffic=TrafficClass.ACTIVATIONS if region == "embeddings" else TrafficClass.WEIGHTS,
    )
