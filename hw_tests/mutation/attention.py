# SPDX-License-Identifier: Apache-2.0
"""ATTENDs and SOFTMAXes of all shapes and scales on noise, near and far."""

from __future__ import annotations

import numpy as np

from hw_tests.mutation.chip import Trial
from hw_tests.mutation.copies import random_settings, random_step
from hw_tests.mutation.programs import DATA_BEATS, FAR_BEATS, Program, program_trial, some
from hw_tests.seeds import salted
from meadow.spec.commands import AttendPart, Command, Opcode
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.numerics import MAX_SHIFT
from meadow.spec.step import Sequence, Step

__all__ = ["attention_program", "attention_trials"]

_NEAR, _FAR = 10, 6
_NEAR_BEATS = 1 << 18
_COMMANDS = 8
_WORK = 24_000
"""Queries times keys times blocks of a command at most."""
_PAIRS = ((0, 0), (0x7F, 0x7F), (0x80, 0x80), (0xFF, 0x7F), (0, 0x80), (0xFF, 0xFF), (1, 0))
"""Bytes, or little-endian halves of a score."""


def _content(random: np.random.Generator, size: int) -> bytes:
    """Bytes of all values; here and there runs of the same two, of small ones, or of scores around
    multiples of 256.
    """
    data = random.integers(0, 256, size, np.uint8)
    start = 0
    while start < size:
        run = 2 * some(random, 512)
        end = min(size, start + run)
        kind = random.random()
        if kind < 0.2:
            pair = _PAIRS[int(random.integers(len(_PAIRS)))]
            data[start:end] = np.resize(np.array(pair, np.uint8), end - start)
        elif kind < 0.3:
            data[start:end] &= 7
        elif kind < 0.6:
            # Maxima are rounded up to multiples of 256, so only there a little more or less shows.
            near = 256 * int(random.integers(-128, 128)) + int(random.integers(-1, 2))
            scores = near - some(random, 1 << 12, 0) * random.integers(0, 2, run // 2)
            scores = np.clip(scores, -(1 << 15), (1 << 15) - 1).astype("<i2")
            data[start:end] = scores.view(np.uint8)[: end - start]
        start = end
    return data.tobytes()


def _scales(random: np.random.Generator) -> dict[str, int]:
    """Multipliers and shifts: from scores that are all alike to saturated ones, outputs likewise,
    and any at all.
    """
    multipliers = [some(random, (1 << 16) - 1, 0) for _ in range(2)]
    score_shift = 15 + multipliers[0].bit_length() - int(random.integers(4, 18))
    output_shift = multipliers[1].bit_length() - int(random.integers(-1, 5))
    if random.random() < 0.2:
        score_shift = int(random.integers(1, MAX_SHIFT + 1))
    if random.random() < 0.2:
        output_shift = int(random.integers(-64, 64))
    return {
        "score_multiplier": multipliers[0],
        "score_shift": min(MAX_SHIFT, max(1, score_shift)),
        "output_multiplier": multipliers[1],
        "output_shift": output_shift,
    }


class _Shapes:
    """Random commands for a step, and which beats they read.

    place: of K or V of so many beats behind the `kv_base` of each sequence, beats from block to
        block.
    """

    def __init__(
        self, random: np.random.Generator, config: AcceleratorConfig, step: Step, beats: int
    ) -> None:
        self.random, self.config, self.step, self.beats = random, config, step, beats
        self.read: list[tuple[int, int]] = []

    def _words(self, rows: int, row_words: int, low: int = 0) -> tuple[int, int]:
        """First word and stride of rows that do not lie over each other, from word `low` on."""
        words = self.config.activation_words - low
        limit = (1 << 20) - self.config.activation_words
        most = min(4095, (words - row_words) // max(1, rows - 1), limit // self.config.chunk_tokens)
        stride = min(most, row_words + some(self.random, 2000, 0))
        reach = (rows - 1) * stride + row_words
        return low + int(self.random.integers(0, words - reach + 1)), stride

    def _caches(self, blocks: int, longest: int) -> dict[str, int]:
        """Offsets of K and V and the stride of blocks of so many beats."""
        last = max(entry.kv_base for entry in self.step.sequences)
        room = self.beats - last - blocks * longest
        most = min((1 << 28) - 1, room // blocks)
        stride = some(self.random, most)
        left = self.beats - last - (blocks - 1) * stride - longest
        offsets = [some(self.random, max(0, left), 0) for _ in range(2)]
        for entry in self.step.sequences:
            for offset in offsets:
                for block in range(blocks):
                    self.read.append((entry.kv_base + offset + block * stride, longest))
        return {"key_offset": offsets[0], "value_offset": offsets[1], "block_stride": stride}

    def _shape(self, low: int) -> dict[str, int]:
        """Fields that all parts have in common; the queries are above word `low`."""
        random, config = self.random, self.config
        blocks = int(random.integers(1, config.max_head_dim // config.width + 1))
        segment = config.word_beats
        column = 0
        if blocks == 1:
            segment = 1 << int(random.integers(0, config.word_beats.bit_length()))
            column = int(random.integers(0, config.word_beats // segment)) * segment
        keys = max(entry.position + entry.tokens for entry in self.step.sequences)
        query, stride = self._words(self.step.rows, blocks * config.lanes, low)
        return {
            "query": query,
            "query_stride": stride,
            "blocks": blocks,
            "segment_beats": segment,
            "column_beats": column,
            **self._caches(blocks, keys * segment),
            **_scales(random),
            "causal": int(random.integers(2)),
            "heads": 1,
        }

    def _part_of_rows(self, fields: dict[str, int]) -> dict[str, int]:
        """Some of the tokens of the only sequence."""
        tokens = self.step.sequences[0].tokens
        first = int(self.random.integers(0, tokens))
        rows = tokens - first
        if fields["causal"]:
            rows = int(self.random.integers(1, rows + 1))
        return {"first": first, "rows": rows}

    def whole(self) -> list[Command]:
        """ATTEND on chip."""
        fields = self._shape(0)
        fields["heads"] = int(self.random.integers(1, self.config.lanes + 1))
        if len(self.step.sequences) == 1 and self.random.random() < 0.6:
            fields |= self._part_of_rows(fields)
        tokens = fields.get("rows") or max(entry.tokens for entry in self.step.sequences)
        if -(-tokens // (self.config.lanes // fields["heads"])) > self.config.groups:
            fields["heads"] = 1
        return [Command(Opcode.ATTEND, fields)]

    def parts(self) -> list[Command]:
        """SCORES, SOFTMAX, VALUES of one sequence."""
        random, entry = self.random, self.step.sequences[0]
        tokens = {"first": 0, "rows": 0}
        causal = int(random.integers(2))
        if random.random() < 0.6:
            tokens = self._part_of_rows({"causal": causal})
        rows = tokens["rows"] or entry.tokens
        keys = entry.position + tokens["first"] + rows
        width = self.config.width
        row_words = 1 + 2 * -(-keys // width)
        area = self.config.activation_words // 2
        stride = min(row_words + some(random, 4095, 0), 4095, area // rows)
        scores = int(random.integers(0, area - (rows - 1) * stride - row_words + 1))
        fields = {**self._shape(area), **tokens, "causal": causal}
        fields |= {"scores": scores, "scores_stride": stride}
        softmax = {
            "source": scores,
            "source_stride": stride,
            "rows": rows,
            "keys": keys - (rows - 1 if causal else 0),
            "causal": causal,
        }
        first, last = AttendPart.SCORES, AttendPart.VALUES
        return [
            Command(Opcode.ATTEND, {**fields, "part": int(first)}),
            Command(Opcode.SOFTMAX, softmax),
            Command(Opcode.ATTEND, {**fields, "part": int(last)}),
        ]

    def softmax(self) -> list[Command]:
        """SOFTMAX of words that are anything."""
        random, config = self.random, self.config
        rows = some(random, config.chunk_tokens)
        keys = some(random, config.max_context)
        if random.random() < 0.5:
            keys = int(random.integers(1, 3 * config.width))  # words that are visible in part
        causal = int(random.integers(2)) if keys + rows - 1 <= config.max_context else 0
        row_words = 1 + 2 * -(-(keys + causal * (rows - 1)) // config.width)
        rows = min(rows, config.activation_words // row_words)
        source, stride = self._words(rows, row_words)
        values = {"rows": rows, "keys": keys, "causal": causal}
        return [Command(Opcode.SOFTMAX, {"source": source, "source_stride": stride, **values})]


def _step(random: np.random.Generator, config: AcceleratorConfig, bases: list[int]) -> Step:
    """One sequence half of the time; what is to be computed is limited."""
    while True:
        longest = some(random, config.max_context, 0)
        step = random_step(random, config, bases, longest)
        if random.random() < 0.5:
            entry = step.sequences[0]
            step = Step(
                (Sequence(entry.kv_base, entry.position, entry.tokens),),
                step.outputs,
                step.head_all,
            )
        work = sum(entry.tokens * (entry.position + entry.tokens) for entry in step.sequences)
        if work <= _WORK:
            return step


def attention_program(config: AcceleratorConfig, seed: int, *, far: bool) -> Program:
    random = np.random.default_rng(salted(1000 + seed))
    beats = FAR_BEATS if far else _NEAR_BEATS
    span = (1 << 31) if far else _NEAR_BEATS - DATA_BEATS - (1 << 17)
    bases = [DATA_BEATS + some(random, span, 0) for _ in range(config.sequences)]
    step = _step(random, config, bases)
    shapes = _Shapes(random, config, step, beats)
    commands: list[Command] = []
    while len(commands) < _COMMANDS:
        kinds = [shapes.whole, shapes.whole, shapes.softmax, shapes.softmax]
        if len(step.sequences) == 1:
            kinds += [shapes.parts, shapes.parts]
        commands += kinds[int(random.integers(len(kinds)))]()
    content = [(0, _content(random, DATA_BEATS * BEAT_BYTES))]
    if far:
        content += [(place, _content(random, size * BEAT_BYTES)) for place, size in shapes.read]
    else:
        size = (_NEAR_BEATS - DATA_BEATS) * BEAT_BYTES
        content.append((DATA_BEATS, _content(random, size)))
    return Program(
        name=f"{'far ' if far else ''}attention {seed}",
        step=step,
        commands=commands,
        beats=beats,
        content=content,
        settings=random_settings(random, seed),
        base=(0x2A_AAAA_A000, 0xD5_5555_5000)[seed % 2],
        seed=seed,
    )


def attention_trials(config: AcceleratorConfig) -> list[Trial]:
    """Random programs with random memories."""
    trials = [
        program_trial(config, attention_program(config, seed, far=False)) for seed in range(_NEAR)
    ]
    return trials + [
        program_trial(config, attention_program(config, _NEAR + seed, far=True))
        for seed in range(_FAR)
    ]
