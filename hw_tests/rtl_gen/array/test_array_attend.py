# SPDX-License-Identifier: Apache-2.0
"""The array with its real lanes: ATTEND against a scalar model, with and without stalls."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hw_tests.epilogues import written_word
from hw_tests.marks import slow
from hw_tests.rtl_gen.array.array_bench import SHORT_STEPS, TINY, WIDE, Scenario, run_scenarios
from hw_tests.rtl_gen.softmax.online_row import AttentionRow
from hw_tests.seeds import salted
from meadow.spec.commands import AttendPart, Command, Opcode
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import LARGEST_EXPONENT, output_scale, requantise, softmax_row
from meadow.spec.step import Sequence, Step

_SCALES = dict(score_multiplier=3000, score_shift=15, output_multiplier=50000)
_SCORE = (_SCALES["score_multiplier"], _SCALES["score_shift"])


class _Commands:
    """Builds a scenario of ATTEND commands: the tiles they read, and what the memory holds after
    each of them.
    """

    def __init__(
        self, config: AcceleratorConfig, *, head_dim: int, column_beats: int, seed: int
    ) -> None:
        self.rng = np.random.default_rng(salted(seed))
        self.config, self.head_dim = config, head_dim
        self.blocks, self.segment = max(1, head_dim // config.width), min(config.width, head_dim)
        self.columns = slice(16 * column_beats, 16 * column_beats + self.segment)
        self.memory = self.rng.integers(0, 256, (500, config.width), np.uint8)
        self.expected = self.memory.copy()
        self.exponents = self.rng.integers(0, LARGEST_EXPONENT + 1, 500)
        self.expected_exponents = self.exponents.copy()
        # Heads that fill whole words have an output of 16 bits and exponents.
        self.bits = 16 if self.segment == config.width else 8
        self.output = _SCALES["output_multiplier"], 10 if self.bits == 8 else 3
        self.tiles: list[tuple] = []
        self.commands: list[Command] = []
        self.fields = dict(
            blocks=self.blocks,
            segment_beats=self.segment // 16,
            column_beats=column_beats,
            output_shift=self.output[1],
            **_SCALES,
        )

    def head_of(self, address: int) -> np.ndarray:
        """A head's int8 elements in the expected memory, [blocks, elements of a block], a view."""
        return self.expected[address : address + self.blocks, self.columns].view(np.int8)

    def write_head(self, address: int, output: list[int]) -> None:
        """A head's output, `bits` wide, into the expected memory."""
        if self.bits == 8:
            self.head_of(address)[:] = np.array(output).reshape(self.blocks, self.segment)
            return
        for block in range(self.blocks):
            elements, exponent = written_word(output[block * self.segment :][: self.segment])
            self.expected[address + block] = np.array(elements, np.int8).view(np.uint8)
            self.expected_exponents[address + block] = exponent

    def cached(self, length: int) -> np.ndarray:
        return self.rng.integers(-127, 128, (length, self.head_dim), np.int8)

    def feed(self, cached: np.ndarray, block: int) -> None:
        """The tiles of one block of keys or values; what lies beyond them is garbage."""
        width, segment = self.config.width, self.segment
        for index in range(self.blocks):
            tile = self.rng.integers(-127, 128, (width, width), np.int8)
            part = cached[block * width : (block + 1) * width]
            tile[: len(part), self.columns] = part[:, index * segment : (index + 1) * segment]
            self.tiles.append((None, tile))

    def command(self, **fields: int) -> None:
        self.commands.append(Command(Opcode.ATTEND, {**self.fields, **fields}))

    def scenario(self, name: str, sequences: list[Sequence], stalls: bool) -> Scenario:
        return Scenario(
            name=f"{name}, head dim {self.head_dim}, {sequences}, stalls {stalls}",
            memory=self.memory,
            expected=self.expected,
            exponents=self.exponents,
            expected_exponents=self.expected_exponents,
            tiles=self.tiles,
            commands=self.commands,
            step=Step(tuple(sequences)),
            stalls=stalls,
        )


def _sequences(spans: list[tuple[int, int]]) -> list[Sequence]:
    """spans: (position, tokens) of each sequence."""
    firsts = [sum(tokens for _, tokens in spans[:index]) for index in range(len(spans))]
    return [Sequence(0, *span, first) for span, first in zip(spans, firsts, strict=True)]


def _whole(
    config: AcceleratorConfig,
    head_dim: int,
    spans: list[tuple[int, int]],
    *,
    causal: bool,
    seed: int,
    stalls: bool,
    column_beats: int = 0,
    heads: int = 1,
    commands: int = 1,
) -> Scenario:
    """`commands` KV heads of `heads` query heads each. Every byte outside of them must stay as it
    was.
    """
    build = _Commands(config, head_dim=head_dim, column_beats=column_beats, seed=seed)
    width, blocks = config.width, build.blocks
    rows, stride = sum(tokens for _, tokens in spans), heads * blocks + 1
    sequences = _sequences(spans)
    for number in range(commands):
        query = 5 + number * stride * rows
        for entry in sequences:
            length = entry.position + entry.tokens
            keys, values = build.cached(length), build.cached(length)
            for token, head in itertools.product(range(entry.tokens), range(heads)):
                address = query + (entry.first_row + token) * stride + head * blocks
                x = build.head_of(address).reshape(-1).copy()
                row = AttentionRow(config.probability_bits, _SCORE)
                seen = entry.position + token + 1 if causal else length
                for start in range(0, seen, width):
                    part = slice(start, min(start + width, seen))
                    row.block(x, keys[part], values[part])
                build.write_head(address, row.result(*build.output, build.bits))
            count = -(-length // width)
            build.feed(keys, 0)
            for block in range(1, count):
                build.feed(keys, block)
                build.feed(values, block - 1)
            build.feed(values, count - 1)
        build.command(query=query, query_stride=stride, causal=int(causal), heads=heads)
    name = f"{heads} heads, causal {causal}, seed {seed}"
    return build.scenario(name, sequences, stalls)


def _parts(
    config: AcceleratorConfig,
    head_dim: int,
    entry: Sequence,
    part: AttendPart,
    *,
    first: int = 0,
    rows: int = 0,
    causal: bool = True,
    seed: int,
    stalls: bool,
    column_beats: int = 0,
    commands: int = 1,
) -> Scenario:
    """SCORES from Q to the scores area, or VALUES from random scores there, of `commands` heads one
    after the other.
    """
    build = _Commands(config, head_dim=head_dim, column_beats=column_beats, seed=seed)
    width, half, blocks, rng = config.width, config.width // 2, build.blocks, build.rng
    tokens = rows or entry.tokens
    start = entry.position + first
    keys_of = [start + token + 1 if causal else start + tokens for token in range(tokens)]
    count = -(-(start + tokens) // width)
    stride, area_stride = blocks + 2, 2 * count + 2
    for number in range(commands):
        query = 5 + number * stride * (entry.first_row + first + tokens)
        area = 200 + number * area_stride * tokens
        cached = build.cached(start + tokens)
        for token, keys in enumerate(keys_of):
            row = build.expected[area + token * area_stride :][:area_stride]
            # What the row's group sees: up to the keys of its last token.
            last = min(tokens, (token // config.lanes + 1) * config.lanes) - 1
            width_seen = -(-keys_of[last] // width) * width
            elements = row[1 : 1 + width_seen // half].reshape(-1).view("<i2")
            address = query + (entry.first_row + first + token) * stride
            if part == AttendPart.SCORES:
                x = build.head_of(address).reshape(-1)
                dots = cached[:keys].astype(int) @ x.astype(int)
                words_seen = width_seen // half
                build.expected_exponents[area + token * area_stride + 1 :][:words_seen] = 0
                elements[:] = -(1 << 15)
                elements[:keys] = [requantise(dot, *_SCORE, 16) for dot in dots.tolist()]
                continue
            elements[:] = 0
            scores = rng.integers(-2000, 2000, keys).tolist()
            elements[:keys], total = softmax_row(scores, config.probability_bits)
            row[0] = 0
            row[0, :4] = np.array([total], "<u4").view(np.uint8)
            mixed = elements[:keys].astype(int) @ cached[:keys].astype(int)
            scale = output_scale(total, *build.output)
            output = [requantise(value, *scale, build.bits) for value in mixed.tolist()]
            build.memory[area + token * area_stride :][:area_stride] = row
            build.write_head(address, output)
        for block in range(count):
            build.feed(cached, block)
        build.command(
            query=query,
            query_stride=stride,
            causal=int(causal),
            heads=1,
            part=part,
            first=first,
            rows=rows,
            scores=area,
            scores_stride=area_stride,
        )
    name = f"{part.name} of {tokens} rows from {first}, causal {causal}, seed {seed}"
    return build.scenario(name, [entry], stalls)


@pytest.mark.parametrize(
    ("config", "cases"),
    [
        slow(TINY, [(16, 0, 1, [(0, 9)]), (16, 0, 2, [(30, 5)]), (32, 0, 1, [(13, 5), (37, 4)])]),
        slow(WIDE, [(16, 1, 2, [(40, 3), (0, 4)]), (64, 0, 3, [(70, 1), (3, 2), (31, 1)])]),
        slow(WIDE, [(32, 0, 4, [(30, 3)]), (16, 0, 1, [(40, 3), (0, 9)])]),
        slow(SHORT_STEPS, [(16, 0, 2, [(30, 2)]), (32, 0, 1, [(5, 9)])]),
    ],
    ids=["tiny", "wide", "wide_all_lanes", "short_steps"],
)
def test_whole(config: AcceleratorConfig, cases: list[tuple]) -> None:
    run_scenarios(
        config,
        [
            _whole(
                config,
                head_dim,
                spans,
                causal=causal,
                seed=21,
                stalls=causal != index % 2,
                column_beats=column,
                heads=heads,
            )
            for index, (head_dim, column, heads, spans) in enumerate(cases)
            for causal in ((True, False) if config is TINY else (index % 2 == 0,))
        ],
    )


@pytest.mark.parametrize("part", [AttendPart.SCORES, AttendPart.VALUES])
@pytest.mark.parametrize(
    ("config", "head_dim"),
    [(TINY, 32), slow(WIDE, 16), (SHORT_STEPS, 16)],
    ids=["tiny", "wide", "short_steps"],
)
def test_parts(config: AcceleratorConfig, head_dim: int, part: AttendPart) -> None:
    """A whole sequence, causal or not, and the last rows of one; two heads one after the other
    reuse the lanes' totals.
    """
    column = 1 if head_dim < config.width else 0
    cases = [
        dict(entry=Sequence(0, 20, 5), commands=2, stalls=False, causal=True),
        dict(entry=Sequence(0, 0, 7), commands=1, stalls=True, causal=False),
        dict(entry=Sequence(0, 13, 9), commands=2, stalls=True, causal=True, first=4, rows=5),
    ]
    scenarios = [
        _parts(config, head_dim, part=part, column_beats=column, seed=24, **case)
        for case in (cases[2:] if config is WIDE else cases)  # four lanes take their time
    ]
    run_scenarios(config, scenarios)


def test_attention_keeps_the_array_busy() -> None:
    many = _whole(TINY, 16, [(64, 10)], causal=False, seed=23, stalls=False)
    more = _whole(TINY, 16, [(20, 10)], causal=True, seed=22, stalls=False, commands=3)
    run_scenarios(TINY, [many, more])
    assert sum(many.busy) >= 0.9 * many.span, (sum(many.busy), many.span)
