# SPDX-License-Identifier: Apache-2.0
"""Lowering of attention: projections, and the heads one after another with all tokens in parallel
(TPHS).
"""

from __future__ import annotations

from typing import Any

from meadow.compiler.lowering.layout import Area, CompileError
from meadow.compiler.lowering.lowering import Lowering
from meadow.compiler.packing.packing import pad_linear
from meadow.model.quantised import QuantisedLayer, QuantisedLinear
from meadow.spec.commands import Flag, Opcode, Outputs, RowSet, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput

__all__ = [
    "attend_fields",
    "attend_heads",
    "narrow_counts",
    "project_inputs",
    "project_output",
    "wide_counts",
]

_LARGEST_SHIFT = 63
"""Of a signed field of 7 bits."""


def project_inputs(lowering: Lowering, index: int, layer: QuantisedLayer) -> None:
    """K and V into the cache, whose write latency hides behind Q, then Q to its place."""
    plan, cache, heads = lowering.plan, lowering.cache, lowering.heads
    name = f"layers.{index}."
    for what, matrix, area, offset, turned in (
        ("k", layer.k, plan.key, cache.key_offset(index, 0), layer.rotary_shift),
        ("v", layer.v, plan.value, cache.value_offset(index, 0), 0),
    ):
        padded = pad_linear(
            matrix, lowering.sizes.key_value, lowering.sizes.width, rows=heads.key_channels
        )
        _project(lowering, name + what, matrix, padded, area, turned)
        lowering.assembler.emit(
            f"{name}{what}_store",
            Opcode.STORE,
            source=area.base,
            source_stride=area.stride,
            offset=offset,
            segments=cache.heads * cache.blocks,
            segment_beats=cache.segment_beats,
            segment_stride=cache.block_stride,
            row_set=RowSet.CHUNK,
            cache=1,
            traffic=TrafficClass.KV_WRITE,
        )
    padded = pad_linear(
        layer.q, lowering.sizes.query, lowering.sizes.width, rows=heads.query_channels
    )
    _project(lowering, name + "q", layer.q, padded, plan.query, layer.rotary_shift)


def _project(
    lowering: Lowering,
    label: str,
    matrix: QuantisedLinear,
    padded: QuantisedLinear,
    area: Area,
    rotary_shift: int,
) -> None:
    """A projection of the norm output, rotated unless the shift is 0."""
    plan = lowering.plan
    output = MatmulOutput.INT8
    fields: dict[str, Any] = {}
    if rotary_shift:
        output = MatmulOutput.ROTATE8
        fields = {
            "operand": plan.rotary.base,
            "operand_stride": plan.rotary.stride,
            "operand_words": lowering.heads.rotary_words,
            "post_shift": rotary_shift,
        }
    lowering.assembler.matmul(label, matrix, padded, plan.norm, area, output, **fields)


def project_output(lowering: Lowering, index: int, layer: QuantisedLayer) -> None:
    """The attention output, in place of Q, through `o` onto the residual."""
    plan, sizes = lowering.plan, lowering.sizes
    padded = pad_linear(layer.o, sizes.width, sizes.query, columns=lowering.heads.query_channels)
    lowering.assembler.matmul(
        f"layers.{index}.o",
        layer.o,
        padded,
        plan.query,
        plan.residual,
        MatmulOutput.RESIDUAL16,
        exponent=lowering.heads.exponent,
    )


def narrow_counts(group: int, config: AcceleratorConfig) -> tuple[int, ...]:
    """Query heads of each ATTEND of a KV head when as many as there are lanes may run together:
    as few commands, and as equal ones, as can be."""
    commands = -(-group // config.lanes)
    return tuple(group // commands + (part < group % commands) for part in range(commands))


def wide_counts(group: int, tokens: int, config: AcceleratorConfig) -> tuple[int, ...]:
    """Query heads of each ATTEND of a KV head for sequences of up to `tokens` rows: as many at once
    as leave room for them in G token groups, and as leave no lane idle."""
    together = 1
    while (
        2 * together <= min(group, config.lanes)
        and -(-tokens // (config.lanes // (2 * together))) <= config.groups
    ):
        together *= 2
    whole, rest = divmod(group, together)
    return (together,) * whole + ((rest,) if rest else ())


def attend_heads(lowering: Lowering, index: int, layer: QuantisedLayer) -> None:
    """Attention of all heads in place of Q; nothing of it leaves the chip (TPHS, arXiv 2503.11663).

    K and V are read once for all query heads of a command. If more of them fit the token groups of
    short sequences (steps with NARROW) than of the longest (WIDE), the program has both variants.
    """
    config, group = lowering.config, lowering.heads.group
    tokens = lowering.plan.tokens
    narrow, wide = narrow_counts(group, config), wide_counts(group, tokens, config)
    together = min(group, config.lanes)
    if narrow == wide or -(-tokens // (config.lanes // together)) <= config.groups:
        variants = [("attend", narrow, Outputs(0))]
    else:
        variants = [("attend", narrow, Outputs.NARROW), ("attend_wide", wide, Outputs.WIDE)]
    for name, counts, condition in variants:
        # Fetches follow program order: once the first command that runs has waited for the stores
        # of K and V, so have the others.
        flags = Flag.HOLD_FETCH
        for head in range(lowering.heads.kv_heads):
            member = 0
            for part, count in enumerate(counts):
                lowering.assembler.emit(
                    f"layers.{index}.{name}.{head}" + (f".{part}" if len(counts) > 1 else ""),
                    Opcode.ATTEND,
                    condition=condition,
                    flags=flags,
                    heads=count,
                    **attend_fields(lowering, index, layer, head, member),
                )
                member, flags = member + count, Flag(0)


def attend_fields(
    lowering: Lowering, index: int, layer: QuantisedLayer, head: int, member: int
) -> dict[str, Any]:
    """Fields of an ATTEND of query heads from `member` on of KV head `head`, all but how many.

    CompileError if its rounding shift is beyond what the field holds.
    """
    cache, heads = lowering.cache, lowering.heads
    output_shift = layer.output_shift[head] + heads.exponent
    if output_shift > _LARGEST_SHIFT:
        raise CompileError(
            f"layers.{index}: output_shift of KV head {head} must be at most "
            f"{_LARGEST_SHIFT - heads.exponent} for heads narrower than a word of "
            f"{heads.width} channels, not {layer.output_shift[head]}"
        )
    return {
        "query": lowering.plan.query.base + heads.query_word(head, member),
        "query_stride": lowering.plan.query.stride,
        "blocks": cache.blocks,
        "segment_beats": cache.segment_beats,
        "column_beats": heads.column(head) // BEAT_BYTES,
        "key_offset": cache.key_offset(index, head),
        "value_offset": cache.value_offset(index, head),
        "block_stride": cache.block_stride,
        "score_multiplier": layer.score_multiplier[head],
        "score_shift": layer.score_shift[head],
        "output_multiplier": layer.output_multiplier[head],
        "output_shift": output_shift,
        "causal": int(lowering.model.description.causal),
    }
