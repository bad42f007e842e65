# SPDX-License-Identifier: Apache-2.0
"""Lowering of a quantised model onto a configuration: streams, memory maps, command program.

One program serves every step: prefill, decode, several sequences, logits or arg-max. Order within a
layer: norm, K and V projected and stored to the cache (their write latency hides behind Q), Q,
attention head by head in place of Q, output projection onto the residual, norm, MLP by hidden
blocks. The LM head follows in pieces; it is skipped when nothing is asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meadow.compiler.assembler import Assembler
from meadow.compiler.layout import (
    ActivationPlan,
    CacheLayout,
    Sizes,
    head_channels,
    plan_activations,
    plan_cache,
    plan_sizes,
)
from meadow.compiler.packing import pad_linear
from meadow.golden.quantised import QuantisedLayer, QuantisedLinear, QuantisedModel
from meadow.spec.commands import (
    Command,
    Flag,
    MatmulOutput,
    Opcode,
    Outputs,
    RowSet,
    Space,
    TrafficClass,
    VectorFunction,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.image import LogitsPiece, MatrixFacts

__all__ = ["Program", "compile_program"]

_ANY_OUTPUT = Outputs.ARGMAX | Outputs.LOGITS


@dataclass(frozen=True, kw_only=True)
class Program:
    """A model lowered onto a configuration.

    commands, labels: the program and "layer.part" names of its commands;
    dram: uint8, the constant start of the window: streams, norm parameters, program;
    regions: {name: (offset, beats)} of program, embeddings, argmax, logits, dump;
    kv_start: first beat free for KV caches.
    """

    config: AcceleratorConfig
    context: int
    sizes: Sizes
    plan: ActivationPlan
    cache: CacheLayout
    commands: tuple[Command, ...]
    labels: tuple[str, ...]
    dram: np.ndarray
    regions: dict[str, tuple[int, int]]
    logits: tuple[LogitsPiece, ...]
    kv_start: int
    matrices: tuple[MatrixFacts, ...]


def compile_program(
    model: QuantisedModel,
    config: AcceleratorConfig,
    *,
    codec: str = "auto",
    context: int | None = None,
) -> Program:
    """Lower `model`; `context` tokens per sequence, by default all that model and configuration
    allow.

    CompileError (a ValueError) names the rule and the value that the configuration cannot hold.
    """
    if context is None:
        context = min(model.description.max_positions, config.max_context)
    sizes = plan_sizes(model, config)
    plan = plan_activations(sizes, config)
    cache = plan_cache(model, sizes, config, context)
    lowering = _Lowering(model, config, codec, sizes, plan, cache)
    return lowering.program(context)


class _Lowering:
    """One model on its way onto one configuration."""

    def __init__(
        self,
        model: QuantisedModel,
        config: AcceleratorConfig,
        codec: str,
        sizes: Sizes,
        plan: ActivationPlan,
        cache: CacheLayout,
    ) -> None:
        self.model, self.config = model, config
        self.sizes, self.plan, self.cache = sizes, plan, cache
        self.assembler = Assembler(config, codec)

    def program(self, context: int) -> Program:
        """Lower everything and place it."""
        sizes, plan, config, assembler = self.sizes, self.plan, self.config, self.assembler
        assembler.emit(
            "embed",
            Opcode.LOAD,
            region="embeddings",
            destination=plan.residual.base,
            destination_stride=plan.residual.stride,
            space=Space.ACTIVATION,
            row_beats=2 * sizes.width // BEAT_BYTES,
            row_set=RowSet.CHUNK,
            traffic=TrafficClass.ACTIVATIONS,
        )
        for index, layer in enumerate(self.model.layers):
            self._attention(index, layer)
            self._mlp(index, layer)
        pieces = self._head()
        assembler.emit("end", Opcode.END)

        assembler.place_program()
        assembler.region("embeddings", plan.tokens * 2 * sizes.width // BEAT_BYTES)
        assembler.region("argmax", plan.tokens)
        logits = assembler.region("logits", plan.tokens * 2 * sizes.vocabulary // BEAT_BYTES)
        assembler.region("dump", config.activation_words * config.word_beats)
        dram, kv_start = assembler.finish(plan.tokens)
        return Program(
            config=config,
            context=context,
            sizes=sizes,
            plan=plan,
            cache=self.cache,
            commands=tuple(assembler.commands),
            labels=tuple(assembler.labels),
            dram=dram,
            regions=assembler.regions,
            logits=tuple(
                LogitsPiece(logits + piece.offset, piece.first_channel, piece.channels)
                for piece in pieces
            ),
            kv_start=kv_start,
            matrices=tuple(assembler.matrices),
        )

    def _attention(self, index: int, layer: QuantisedLayer) -> None:
        d, sizes, plan, name = self.model.description, self.sizes, self.plan, f"layers.{index}."
        self.assembler.norm(
            name + "attention_norm", layer.attention_norm, sizes.width, plan.residual, plan.norm
        )
        channels = head_channels(d.heads, d.head_dim, sizes.head_dim)
        for what, matrix, area, offset in (
            ("k", layer.k, plan.key, self.cache.key_offset(index, 0)),
            ("v", layer.v, plan.value, self.cache.value_offset(index, 0)),
        ):
            padded = pad_linear(matrix, sizes.key_value, sizes.width, rows=channels)
            self.assembler.matmul(name + what, matrix, padded, plan.norm, area, MatmulOutput.INT8)
            self.assembler.emit(
                f"{name}{what}_store",
                Opcode.STORE,
                source=area.base,
                source_stride=area.stride,
                offset=offset,
                segments=self.cache.heads * self.cache.blocks,
                segment_beats=self.cache.segment_beats,
                segment_stride=self.cache.block_stride,
                row_set=RowSet.CHUNK,
                cache=1,
                traffic=TrafficClass.KV_WRITE,
            )
        padded = pad_linear(layer.q, sizes.query, sizes.width, rows=channels)
        self.assembler.matmul(name + "q", layer.q, padded, plan.norm, plan.query, MatmulOutput.INT8)
        for head in range(d.heads):
            self._attend(name, index, layer, head)
        padded = pad_linear(layer.o, sizes.width, sizes.query, columns=channels)
        self.assembler.matmul(
            name + "o", layer.o, padded, plan.query, plan.residual, MatmulOutput.RESIDUAL16
        )

    def _attend(self, name: str, index: int, layer: QuantisedLayer, head: int) -> None:
        cache, width = self.cache, self.config.width
        word, byte = divmod(head * self.sizes.head_dim, width)
        self.assembler.emit(
            f"{name}attend.{head}",
            Opcode.ATTEND,
            # Fetches follow program order: once the first head has waited for the stores, so have
            # the others.
            flags=Flag(0) if head else Flag.HOLD_FETCH,
            query=self.plan.query.base + word,
            query_stride=self.plan.query.stride,
            blocks=cache.blocks,
            segment_beats=cache.segment_beats,
            column_beats=byte // BEAT_BYTES,
            key_offset=cache.key_offset(index, head),
            value_offset=cache.value_offset(index, head),
            block_stride=cache.block_stride,
            score_multiplier=layer.score_multiplier[head],
            score_shift=layer.score_shift[head],
            output_multiplier=layer.output_multiplier[head],
            output_shift=layer.output_shift[head],
            causal=1,
        )

    def _mlp(self, index: int, layer: QuantisedLayer) -> None:
        sizes, plan, name = self.sizes, self.plan, f"layers.{index}."
        self.assembler.norm(
            name + "mlp_norm", layer.mlp_norm, sizes.width, plan.residual, plan.norm
        )
        for part, (block, fc2) in enumerate(zip(self.model.blocks, layer.fc2, strict=True)):
            hidden = sizes.hidden[part]
            fc1 = QuantisedLinear(
                weight=layer.fc1.weight[block],
                bias=layer.fc1.bias[block],
                multiplier=layer.fc1.multiplier[block],
                shift=layer.fc1.shift[block],
            )
            padded = pad_linear(fc1, hidden, sizes.width)
            self.assembler.matmul(
                f"{name}fc1.{part}", fc1, padded, plan.norm, plan.hidden, MatmulOutput.RELU8
            )
            padded = pad_linear(fc2, sizes.width, hidden)
            self.assembler.matmul(
                f"{name}fc2.{part}",
                fc2,
                padded,
                plan.hidden,
                plan.residual,
                MatmulOutput.RESIDUAL16,
            )

    def _head(self) -> list[LogitsPiece]:
        """Final norm, logits and arg-max; the pieces with offsets from the start of their
        region."""
        model, sizes, plan, width = self.model, self.sizes, self.plan, self.config.width
        self.assembler.norm(
            "final_norm",
            model.final_norm,
            sizes.width,
            plan.residual,
            plan.norm,
            row_set=RowSet.HEAD,
            condition=_ANY_OUTPUT,
        )
        pieces, step = [], plan.logit_slices * width
        for part, first in enumerate(range(0, sizes.vocabulary, step)):
            channels = min(step, sizes.vocabulary - first)
            chosen = slice(first, min(first + channels, model.description.vocabulary))
            linear = QuantisedLinear(
                weight=model.head.weight[chosen],
                bias=model.head.bias[chosen],
                multiplier=model.head.multiplier[chosen],
                shift=model.head.shift[chosen],
            )
            beats = 2 * channels // BEAT_BYTES
            piece = LogitsPiece(plan.tokens * 2 * first // BEAT_BYTES, first, channels)
            pieces.append(piece)
            self.assembler.matmul(
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
            self.assembler.emit(
                f"head.{part}_store",
                Opcode.STORE,
                condition=Outputs.LOGITS,
                region="logits",
                source=plan.logits.base,
                source_stride=plan.logits.stride,
                offset=piece.offset,
                segments=1,
                segment_beats=beats,
                row_set=RowSet.HEAD,
                traffic=TrafficClass.ACTIVATIONS,
            )
        self.assembler.emit(
            "argmax",
            Opcode.VECTOR,
            condition=Outputs.ARGMAX,
            function=VectorFunction.ARGMAX,
            destination=plan.argmax.base,
            destination_stride=plan.argmax.stride,
            row_set=RowSet.HEAD,
        )
        self.assembler.emit(
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
