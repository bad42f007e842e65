# SPDX-License-Identifier: Apache-2.0
"""Where everything lies: padded sizes, the plan of the activation memory, the KV cache.

Words are W-byte activation words, beats are 16 DRAM bytes. All offsets count from the start of
their memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from meadow.compiler.lowering.heads import HeadLayout
from meadow.model.hidden_blocks import hidden_slices
from meadow.spec.config import BEAT_BYTES, MAX_INPUTS, AcceleratorConfig
from meadow.spec.model import ModelDescription

__all__ = [
    "PAGE_BEATS",
    "STREAM_BEATS",
    "ActivationPlan",
    "Area",
    "CacheLayout",
    "CompileError",
    "Sizes",
    "choose_hidden_block",
    "plan_activations",
    "plan_cache",
    "plan_sizes",
]

STREAM_BEATS = 64
"""Constants start at multiples of 1 KiB, from where bursts of 64 beats never cross 4 KiB."""
PAGE_BEATS = 256
"""Regions that the host or the program writes start at multiples of 4 KiB."""

_MINIMUM_BLOCK = 512


class CompileError(ValueError):
    """The configuration cannot hold the model; the message states the rule and the value."""


@dataclass(frozen=True)
class Sizes:
    """Padded sizes in channels; every one but `head_dim` is a multiple of W.

    width: d; head_dim: see `padded_head_dim`; query: all query heads; key_value: all KV heads;
    hidden: one per hidden block; vocabulary: 0 if there is no head; rotary: cosines and sines of a
    row, 0 without rotary positions, counted in bytes; gated: whether the activation of a hidden
    block has 16 bits before it becomes words.
    """

    width: int
    head_dim: int
    query: int
    key_value: int
    hidden: tuple[int, ...]
    vocabulary: int
    rotary: int
    gated: bool = False

    @property
    def hidden_row(self) -> int:
        """Bytes of a token in the area of a hidden block."""
        return max(self.hidden) * (1 + self.gated)

    @property
    def shared(self) -> int:
        """The area that Q, K, V and a hidden block have in turn, in bytes of a token."""
        return max(self.query, self.key_value, self.hidden_row)

    @property
    def row(self) -> int:
        """Bytes of a token: norm output, INT16 residual, shared area, rotary words."""
        return 3 * self.width + self.shared + self.rotary


def plan_sizes(
    description: ModelDescription, hidden_block: int, config: AcceleratorConfig
) -> Sizes:
    """Padded sizes of a model; CompileError for what the configuration cannot compute."""
    d, w = description, config.width
    heads = HeadLayout.of(d, config)
    _limit("padded head dim", heads.padded, "max_head_dim", config.max_head_dim)
    width = _pad(d.width, w)
    _limit("padded width", width, "norm_channels", config.norm_channels)
    inputs = MAX_INPUTS // w * w
    _limit("padded channels of all query heads", heads.query_words * w, "inputs", inputs)
    hidden = tuple(_pad(b.stop - b.start, w) for b in hidden_slices(d.hidden, hidden_block))
    _limit("padded hidden_block", max(hidden), "inputs", inputs)
    if d.rotary_base:
        _limit("padded head dim with rotary positions", heads.padded, "16 words", 16 * w)
    return Sizes(
        width=width,
        head_dim=heads.padded,
        query=heads.query_words * w,
        key_value=heads.key_words * w,
        hidden=hidden,
        vocabulary=_pad(d.vocabulary, w) if d.outputs == "tokens" else 0,
        rotary=heads.rotary_words * w if d.rotary_base else 0,
        gated=d.gated,
    )


def choose_hidden_block(description: ModelDescription, config: AcceleratorConfig) -> int:
    """H with which chunks are as large as sensible, blocks all about as long.

    A block takes no memory up to the size of Q, whose place it has, nor while the largest chunk of
    the configuration fits with it. It is at least 512 channels, which keeps the array's work per
    pass of the residual large, where that leaves room for T tokens, and no more than the inputs
    that a matrix may have. In a gated model it takes twice the memory.
    """
    w = config.width
    least = plan_sizes(description, w, config)
    other = (least.row - least.shared) // w
    budget = config.activation_words // config.chunk_tokens - other
    words = max(least.query // w, budget)
    least_words = _MINIMUM_BLOCK // w * (1 + least.gated)
    if (other + least_words) * config.lanes <= config.activation_words:
        words = max(words, least_words)
    words = max(1, min(words // (1 + least.gated), MAX_INPUTS // w))
    hidden_words = _pad(description.hidden, w) // w
    blocks = -(-hidden_words // words)
    return min(-(-hidden_words // blocks) * w, description.hidden)


@dataclass(frozen=True)
class Area:
    """Rows in the activation memory: row r starts at word base + r * stride."""

    base: int
    stride: int


@dataclass(frozen=True)
class ActivationPlan:
    """Who owns the activation memory, for `tokens` rows.

    tokens: largest chunk, a multiple of T. norm: norm output, words. residual: INT16. One area is
    shared by Q, which the attention output replaces (`query`), and then a `hidden` block; `key` and
    `value` stage K and V in it before Q comes. The LM head needs neither residual nor shared area
    any more and puts `logit_slices` slices of logits over both (`logits`), and the arg-max words
    over its input (`argmax`). rotary: cosines and sines of the rows' positions.
    """

    tokens: int
    words: int
    norm: Area
    residual: Area
    query: Area
    hidden: Area
    key: Area
    value: Area
    logits: Area
    logit_slices: int
    argmax: Area
    rotary: Area


def plan_activations(
    sizes: Sizes, config: AcceleratorConfig, *, most: int | None = None
) -> ActivationPlan:
    """The plan with the largest chunk that fits, of at most `most` tokens in whole groups;
    CompileError if not even T tokens fit.

    Words of a token: 3 d/W (norm output and residual), max(Q, K, V, hidden block)/W, where a hidden
    block of a gated model counts twice, and those of rotary positions.
    """
    w = config.width
    norm, query, key_value = sizes.width // w, sizes.query // w, sizes.key_value // w
    shared, row = sizes.shared // w, sizes.row // w
    tokens = config.activation_words // row // config.lanes * config.lanes
    tokens = min(tokens, config.chunk_tokens)
    if most is not None:
        tokens = min(tokens, -(-most // config.lanes) * config.lanes)
    if tokens < config.lanes:
        advice = "; a smaller hidden block takes less" if shared > max(query, key_value) else ""
        raise CompileError(
            f"activation_words must hold {config.lanes} tokens of {row} words, "
            f"{config.lanes * row} in all, not {config.activation_words}{advice}"
        )
    residual_base = tokens * norm
    shared_base = residual_base + tokens * 2 * norm
    # V goes beside K when there is room, so that K can still be written out meanwhile.
    value_base = shared_base + (tokens * key_value if shared >= 2 * key_value else 0)
    # A piece of a row of logits is one segment of a STORE, whose length is a 12-bit number of
    # beats.
    longest = ((1 << 12) - 1) // (2 * config.word_beats)
    logit_slices = min((2 * norm + shared) // 2, sizes.vocabulary // w, longest)
    return ActivationPlan(
        tokens=tokens,
        words=tokens * row,
        norm=Area(0, norm),
        residual=Area(residual_base, 2 * norm),
        query=Area(shared_base, query),
        hidden=Area(shared_base, sizes.hidden_row // w),
        key=Area(shared_base, key_value),
        value=Area(value_base, key_value),
        logits=Area(residual_base, 2 * logit_slices),
        logit_slices=logit_slices,
        argmax=Area(0, 1),
        rotary=Area(shared_base + tokens * shared, sizes.rotary // w),
    )


@dataclass(frozen=True)
class CacheLayout:
    """The KV cache of one sequence, in beats from its `kv_base`.

    rows: positions there is room for, the context rounded up to W; segment_beats: one key in one
    head-dim block; blocks: head-dim blocks of a head; block_stride: beats of a block. K of head h
    of layer l starts at key_offset(l, h), block b of it block_stride * b later, position i of that
    segment_beats * i later; V alike.
    """

    layers: int
    heads: int
    rows: int
    segment_beats: int
    blocks: int

    @property
    def block_stride(self) -> int:
        """Beats from head-dim block to head-dim block."""
        return self.rows * self.segment_beats

    @property
    def head_beats(self) -> int:
        """Beats of K, or of V, of one head and layer."""
        return self.blocks * self.block_stride

    @property
    def sequence_beats(self) -> int:
        """Beats of a whole sequence: layers * 2 * heads * padded head dim * rows bytes."""
        return self.layers * 2 * self.heads * self.head_beats

    def key_offset(self, layer: int, head: int) -> int:
        """Beats from kv_base to K of a head."""
        return (2 * layer * self.heads + head) * self.head_beats

    def value_offset(self, layer: int, head: int) -> int:
        """Beats from kv_base to V of a head."""
        return ((2 * layer + 1) * self.heads + head) * self.head_beats


def plan_cache(
    description: ModelDescription, config: AcceleratorConfig, context: int, *, prefix: int = 0
) -> CacheLayout:
    """Cache for sequences of `context` tokens; CompileError if model or configuration allow
    fewer, or if no token has room behind the `prefix` tokens that each begins with."""
    d = description
    if context < 1:
        raise CompileError(f"context must be at least 1, not {context}")
    if context <= prefix:
        raise CompileError(
            f"context must hold the prefix of the model and at least 1 token more, {prefix + 1} in "
            f"all, not {context}"
        )
    _limit("context", context, "max_context", config.max_context)
    if context > d.max_positions:
        raise CompileError(
            f"context must be at most the model's {d.max_positions} positions, not {context}"
        )
    heads = HeadLayout.of(d, config)
    return CacheLayout(
        layers=d.layers,
        heads=d.kv_heads,
        rows=_pad(context, config.width),
        segment_beats=heads.padded // heads.blocks // BEAT_BYTES,
        blocks=heads.blocks,
    )


def _pad(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _limit(what: str, value: int, name: str, limit: int) -> None:
    if value > limit:
        raise CompileError(f"{what} must be at most {name} ({limit}), not {value}")
