# SPDX-License-Identifier: Apache-2.0
"""Array control without lanes: the distances the lanes ask for, credits, and no gaps at full
size.
"""

from __future__ import annotations

import dataclasses

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.array.control_bench import ControlBench
from meadow.spec.commands import AttendPart, Command, Opcode, RowSet
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.epilogue import EPILOGUES, MatmulOutput
from meadow.spec.step import Sequence, Step

_SMALL = dataclasses.replace(CONFIGURATIONS["small"], groups=4)
_SHORT_STEPS = dataclasses.replace(CONFIGURATIONS["tiny"], groups=5, rows=4)
_ONE_LANE = dataclasses.replace(_SHORT_STEPS, lanes=1, rows=8)
_FULL = dataclasses.replace(CONFIGURATIONS["zcu102-paper"], groups=4)


def _matmul(rows: int, slices: int, tiles: int, output: MatmulOutput) -> tuple[Command, list]:
    stride = 2 * slices
    values = dict(source_stride=tiles, tiles=tiles, slices=slices, destination_stride=stride)
    apart = EPILOGUES[output].wide
    parts = 1 if output == MatmulOutput.INT8 else 2
    expected = [
        (row * stride + (n * parts + part if apart else n), row)
        for row in range(rows)
        for n in range(slices)
        for part in range(parts)
    ]
    return Command(Opcode.MATMUL, {**values, "output": output, "row_set": RowSet.CHUNK}), expected


def _attend(
    config: AcceleratorConfig, head_dim: int, step: Step, causal: bool, heads: int = 1
) -> tuple[Command, int, list]:
    """The command, how many tiles it takes, and address and row of its words: two halves of each
    if a head fills whole words.
    """
    halves = 2 if head_dim >= config.width else 1
    blocks = max(1, head_dim // config.width)
    keys = sum(-(-(s.position + s.tokens) // config.width) for s in step.sequences)
    stride = heads * blocks + 1
    values = dict(query=500, query_stride=stride, blocks=blocks, causal=int(causal), heads=heads)
    values |= dict(segment_beats=min(head_dim, config.width) // 16, score_shift=1)
    words = [
        (500 + stride * row + word, row)
        for row in range(step.rows)
        for word in range(stride - 1)
        for _ in range(halves)
    ]
    return Command(Opcode.ATTEND, values), 2 * keys * blocks, words


def _part(config: AcceleratorConfig, part: AttendPart, step: Step) -> tuple[Command, int, list]:
    """The same for a part of attention of one sequence, every row of which sees all keys."""
    command, tiles, words = _attend(config, config.width, step, False)
    count = tiles // 2
    stride = 2 * count + 1
    values = dict(command.values, part=part, scores=200, scores_stride=stride)
    if part == AttendPart.SCORES:
        words = [
            (200 + row * stride + 1 + word, row)
            for row in range(step.rows)
            for word in range(2 * count)
        ]
    return Command(Opcode.ATTEND, values), count, words


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize(
    "config",
    [slow(_SMALL), slow(_SHORT_STEPS), _ONE_LANE, slow(_FULL)],
    ids=["small", "short_steps", "one_lane", "full"],
)
def test_distances(config: AcceleratorConfig, stalls: bool) -> None:
    rows = config.chunk_tokens - 1
    first = rows // 2
    width = config.width
    spans = [(width + 3, first), (0, rows - first)]
    step = Step((Sequence(0, *spans[0]), Sequence(0, *spans[1], first)))
    commands, expected, tiles, slices = [], [], 0, 0
    outputs = (MatmulOutput.INT8, 1), (MatmulOutput.RESIDUAL16, 2), (MatmulOutput.GATE, 1)
    outputs = (*outputs, (MatmulOutput.RELU, 1))
    for output, count in outputs:
        command, words = _matmul(rows, 3, count, output)
        commands.append(command)
        expected += words
        tiles, slices = tiles + 3 * count, slices + 3
    two_heads = min(2, config.lanes)
    narrow = first <= config.groups * (config.lanes // two_heads)
    cases = [(16, True, 1), (min(2 * width, config.max_head_dim), False, 1)]
    for head_dim, causal, heads in [*cases, (16, True, two_heads if narrow else 1)]:
        command, count, words = _attend(config, head_dim, step, causal, heads)
        commands.append(command)
        expected += words
        tiles += count
    command, words = _matmul(rows, 2, 1, MatmulOutput.LOGITS16)
    bench = ControlBench(config, tiles + 2, slices + 2, stalls=stalls)
    bench.run([*commands, command], step, limit=40_000)  # a word retires in ten cycles
    assert sorted(bench.words) == sorted(expected + words)


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize(
    "config",
    [_SMALL, slow(_SHORT_STEPS), slow(_ONE_LANE)],
    ids=["small", "short_steps", "one_lane"],
)
def test_distances_of_parts(config: AcceleratorConfig, stalls: bool) -> None:
    """Totals of a command neither replace those of the one before nor meet the sums of a whole
    attention.
    """
    rows = config.chunk_tokens - 1
    step = Step((Sequence(0, config.width, rows),))
    scores, values = (_part(config, part, step) for part in (AttendPart.SCORES, AttendPart.VALUES))
    whole = _attend(config, config.width, step, False)
    commands, expected, tiles = [], [], 0
    for command, count, words in (scores, values, values, whole, values, scores, whole):
        commands.append(command)
        expected += words
        tiles += count
    bench = ControlBench(config, tiles, 0, stalls=stalls)
    bench.run(commands, step)
    assert sorted(bench.words) == sorted(expected)


def _share(bench: ControlBench) -> float:
    first = bench.busy.index(1)
    last = len(bench.busy) - bench.busy[::-1].index(1)
    return sum(bench.busy) / (last - first)


@pytest.mark.parametrize("config", [_SMALL, slow(_FULL)], ids=["small", "full"])
@pytest.mark.parametrize("output", [MatmulOutput.INT8, MatmulOutput.RESIDUAL16])
def test_matmul_issues_in_every_cycle(config: AcceleratorConfig, output: MatmulOutput) -> None:
    command, words = _matmul(config.chunk_tokens, 3, 2, output)
    bench = ControlBench(config, 12, 6, stalls=False)
    bench.run([command, command], Step((Sequence(0, 0, config.chunk_tokens),)))
    assert sorted(bench.words) == sorted(2 * words)
    assert _share(bench) == 1.0


@pytest.mark.parametrize("config", [_SMALL, slow(_FULL)], ids=["small", "full"])
def test_attention_issues_in_every_cycle(config: AcceleratorConfig) -> None:
    step = Step((Sequence(0, 4 * config.width, config.chunk_tokens),))
    command, tiles, _ = _attend(config, config.width, step, False)
    bench = ControlBench(config, tiles, 0, stalls=False)
    bench.run([command], step)
    steps = tiles * config.groups * config.tile_cycles
    # The last key block is partly filled: its steps are trimmed.
    assert steps - config.groups * config.tile_cycles < sum(bench.busy) <= steps
    assert _share(bench) >= 0.97
