# SPDX-License-Identifier: Apache-2.0
"""The array with its real lanes: ATTEND against a scalar model, with and without stalls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.rtl_gen.array.array_bench import Scenario, simulate
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.numerics import (
    RESCALE_LIMIT,
    block_maximum,
    output_scale,
    probability,
    requantise,
    rounding_shift,
)
from meadow.spec.step import Sequence, Step

_TINY = dataclasses.replace(CONFIGURATIONS["tiny"], groups=5, max_head_dim=32)
_WIDE = dataclasses.replace(
    CONFIGURATIONS["tiny"], width=32, lanes=4, groups=3, ports=2, max_head_dim=64
)
_SHORT_STEPS = dataclasses.replace(_TINY, rows=4)


def _attention_row(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, seen: int, config, scales
) -> list[int]:
    """Online softmax over the first `seen` keys in blocks of W, as numerics defines its parts."""
    maximum, total, output = None, 0, [0] * values.shape[1]
    for start in range(0, seen, config.width):
        block = slice(start, min(start + config.width, seen))
        scores = [
            requantise(v, scales["score_multiplier"], scales["score_shift"], 16)
            for v in (keys[block].astype(int) @ query).tolist()
        ]
        new = block_maximum(max(scores))
        new = new if maximum is None else max(new, maximum)
        delta = 0 if maximum is None else min(new - maximum, RESCALE_LIMIT)
        maximum = new
        power = [probability(score, new, config.probability_bits) for score in scores]
        total = rounding_shift(total, delta) + sum(power)
        mixed = (np.array(power) @ values[block].astype(int)).tolist()
        output = [rounding_shift(o, delta) + v for o, v in zip(output, mixed, strict=True)]
    multiplier, shift = output_scale(total, scales["output_multiplier"], scales["output_shift"])
    return [requantise(o, multiplier, shift, 8) for o in output]


_SCALES = dict(score_multiplier=3000, score_shift=15, output_multiplier=50000, output_shift=10)


def _attend(
    config: AcceleratorConfig,
    head_dim: int,
    spans: list[tuple[int, int]],
    *,
    causal: bool,
    seed: int,
    stalls: bool,
    column_beats: int = 0,
    heads: int = 1,
) -> Scenario:
    """spans: (position, tokens) of each sequence. Every byte outside of the head must stay as it was."""
    rng = np.random.default_rng(seed)
    width = config.width
    blocks = max(1, head_dim // width)
    segment = min(width, head_dim)
    rows = sum(tokens for _, tokens in spans)
    query, stride = 5, blocks + 1
    memory = rng.integers(0, 256, (400, width), np.uint8)
    expected = memory.copy()
    columns = slice(16 * column_beats, 16 * column_beats + segment)
    feed, commands, sequences = [], [], []
    for head in range(heads):
        base = query + head * stride * rows
        first = 0
        for position, tokens in spans:
            if head == 0:
                sequences.append(Sequence(0, position, tokens, first))
            length = position + tokens
            keys = rng.integers(-127, 128, (length, head_dim), np.int8)
            values = rng.integers(-127, 128, (length, head_dim), np.int8)
            for row in range(first, first + tokens):
                words = expected[base + row * stride :][:blocks]
                x = words[:, columns].reshape(-1).view(np.int8).astype(int)
                seen = position + row - first + 1 if causal else length
                result = _attention_row(x, keys, values, seen, config, _SCALES)
                words[:, columns] = np.array(result, np.int8).view(np.uint8).reshape(blocks, -1)
            count = -(-length // width)
            order = [("k", 0)]
            for b in range(1, count):
                order += [("k", b), ("v", b - 1)]
            for kind, b in [*order, ("v", count - 1)]:
                for h in range(blocks):
                    tile = rng.integers(-127, 128, (width, width), np.int8)
                    part = (keys if kind == "k" else values)[b * width : (b + 1) * width]
                    tile[: len(part), columns] = part[:, h * segment : (h + 1) * segment]
                    feed.append((None, tile))
            first += tokens
        fields = dict(
            query=base,
            query_stride=stride,
            blocks=blocks,
            segment_beats=segment // 16,
            column_beats=column_beats,
            causal=int(causal),
            **_SCALES,
        )
        commands.append(Command(Opcode.ATTEND, fields))
    return Scenario(
        name=f"head dim {head_dim}, {spans}, causal {causal}, seed {seed}, stalls {stalls}",
        memory=memory,
        expected=expected,
        tiles=feed,
        commands=commands,
        step=Step(tuple(sequences)),
        stalls=stalls,
    )


@pytest.mark.parametrize(
    ("config", "cases"),
    [
        (_TINY, [(16, 0, [(0, 9)]), (16, 0, [(30, 9)]), (32, 0, [(13, 5), (37, 4)])]),
        (_WIDE, [(16, 1, [(40, 3), (0, 7)]), (64, 0, [(70, 1), (3, 1), (31, 1)])]),
        (_SHORT_STEPS, [(16, 0, [(30, 2)]), (32, 0, [(5, 9)])]),
    ],
    ids=["tiny", "wide", "short_steps"],
)
def test_attend(config: AcceleratorConfig, cases: list[tuple]) -> None:
    simulate(
        config,
        [
            _attend(
                config, head_dim, spans, causal=causal, seed=21, stalls=stalls, column_beats=column
            )
            for index, (head_dim, column, spans) in enumerate(cases)
            for causal in (True, False)
            for stalls in (causal != index % 2,)
        ],
    )


def test_attention_keeps_the_array_busy() -> None:
    many = _attend(_TINY, 16, [(64, 10)], causal=False, seed=23, stalls=False)
    heads = _attend(_TINY, 16, [(20, 10)], causal=True, seed=22, stalls=False, heads=3)
    simulate(_TINY, [many, heads])
    assert sum(many.busy) >= 0.9 * many.span, (sum(many.busy), many.span)
