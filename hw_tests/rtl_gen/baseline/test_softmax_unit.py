# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX commands with the real activation memory, against numerics.softmax_row."""

from __future__ import annotations

import random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.vector.vector_bench import STEP, VectorBench, pack, small_config
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import softmax_row
from rtl_gen.baseline.row_probabilities import RowProbabilities
from rtl_gen.baseline.softmax_unit import SoftmaxUnit


def _scores(rng: random.Random, row: int, count: int) -> list[int]:
    """Scores of a row; every kind of row comes up."""
    kinds = [
        lambda: rng.randrange(-2500, 2500),
        lambda: rng.randrange(-32768, 32768),
        lambda: -32768,
        lambda: 32767,
        lambda: rng.choice([-32768, 32767, 0, 256, -256, 255, 1]),
        lambda: rng.randrange(32700, 32768),
    ]
    return [kinds[row % len(kinds)]() for _ in range(count)]


def _words_of_row(config: AcceleratorConfig, row: int, rows: int, keys: int, causal: bool) -> int:
    last = min(rows, (row // config.lanes + 1) * config.lanes) - 1
    return 2 * -(-(keys + (last if causal else 0)) // config.width)


def _fill(
    config: AcceleratorConfig, rng: random.Random, content: list[int], fields: dict[str, int]
) -> None:
    """Random scores for a command, extreme ones beyond the visible keys."""
    half = config.width // 2
    for row in range(fields["rows"]):
        count = _words_of_row(config, row, fields["rows"], fields["keys"], bool(fields["causal"]))
        scores = _scores(rng, row, count * half)
        visible = fields["keys"] + row * fields["causal"]
        scores[visible:] = [rng.choice([32767, -32768]) for _ in scores[visible:]]
        for k in range(count):
            address = fields["source"] + row * fields["source_stride"] + 1 + k
            content[address] = pack(scores[k * half : (k + 1) * half], 16)


def _expected(config: AcceleratorConfig, content: list[int], fields: dict[str, int]) -> list[int]:
    half = config.width // 2
    result = list(content)
    for row in range(fields["rows"]):
        base = fields["source"] + row * fields["source_stride"]
        count = _words_of_row(config, row, fields["rows"], fields["keys"], bool(fields["causal"]))
        scores = []
        for k in range(count):
            raw = [content[base + 1 + k] >> (16 * i) & 0xFFFF for i in range(half)]
            scores += [value - (value >> 15 << 16) for value in raw]
        visible = fields["keys"] + row * fields["causal"]
        row_values, total = softmax_row(scores[:visible], config.probability_bits)
        row_values += [0] * (len(scores) - visible)
        result[base] = total
        for k in range(count):
            result[base + 1 + k] = pack(row_values[k * half : (k + 1) * half], 16)
    return result


def _run(
    config: AcceleratorConfig,
    rng: random.Random,
    cases: list[tuple[int, int, bool]],
    *,
    stall: float = 0.0,
    write_stall: float = 0.0,
) -> VectorBench:
    """Commands of (rows, keys, causal) one after another, each with its own words; all else must
    not change.
    """
    bench = VectorBench(config, rng)
    commands = []
    expected = bench.content
    free = 0
    for rows, keys, causal in cases:
        most = max(
            (_words_of_row(config, row, rows, keys, causal) for row in range(rows)), default=0
        )
        fields = {
            "source": free + rng.randrange(3),
            "source_stride": 1 + most + rng.randrange(3),
            "rows": rows,
            "keys": keys,
            "causal": int(causal),
        }
        free = fields["source"] + rows * fields["source_stride"]
        assert free <= config.activation_words
        _fill(config, rng, bench.content, fields)
        commands.append(Command(Opcode.SOFTMAX, fields))
    for command in commands:
        expected = _expected(config, expected, dict(command.values))
    bench.run(commands, STEP, stall=stall, write_stall=write_stall)
    assert bench.content == expected, cases
    assert not any(bench.exponents.values()), "only norms write exponents"
    return bench


@pytest.mark.parametrize("width", [16, slow(32), slow(64)])
@pytest.mark.parametrize(("stall", "write_stall"), [(0.0, 0.0), (0.6, 0.0), (0.3, 0.7)])
def test_rows(width: int, stall: float, write_stall: float) -> None:
    seed = f"{width} {stall} {write_stall}"
    print(f"seed {seed}")
    # Around the boundaries of half words, blocks and the longest row; rows that do not fill their
    # last group.
    _run(
        small_config(width, lanes=4, words=512),
        random.Random(salted(seed)),
        [
            (rows, keys, causal)
            for rows, keys in ((7, width - 3), (5, width), (6, 2 * width - 1), (3, 4 * width - 2))
            for causal in (False, True)
        ],
        stall=stall,
        write_stall=write_stall,
    )


@pytest.mark.parametrize("lanes", [1, slow(2), 4])
def test_every_length_of_a_short_row(lanes: int) -> None:
    print(f"seed {lanes}")
    _run(
        small_config(16, lanes=lanes, words=512),
        random.Random(salted(lanes)),
        [
            (rows, keys, causal)
            for rows in (1, 5)
            for keys in (1, 7, 8, 9, 15, 16, 17, 25)
            for causal in (False, True)
        ],
        stall=0.2,
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_probability_bits(bits: int) -> None:
    config = small_config(16, words=256, probability_bits=bits)
    _run(config, random.Random(salted(bits)), [(7, 29, True)])


def test_many_short_rows_with_a_nearly_blocked_write_port() -> None:
    """Every queue fills up and must hold back what comes before it."""
    _run(small_config(16, words=512), random.Random(salted(8)), [(60, 9, False)], write_stall=0.9)


def test_no_rows() -> None:
    config = small_config(16, words=256)
    _run(config, random.Random(salted(1)), [(0, 5, True), (3, 5, True), (0, 5, False)])


@pytest.mark.parametrize("width", [16, slow(32), slow(64)])
def test_cycles(width: int) -> None:
    """One row alone, and rows as fast as their exponentials or the write port allow."""
    config = small_config(width, lanes=4, words=512)
    word_cycles = RowProbabilities.word_cycles(config)
    assert word_cycles == (1 if width < 64 else 2)
    cases = [(rows, blocks * width, False) for blocks in (1, 4) for rows in (1, 29)]
    bench = _run(config, random.Random(salted(2)), cases)
    for words, alone, many in zip((2, 8), *(bench.busy_cycles[n::2] for n in (0, 1)), strict=True):
        assert alone == words * (1 + word_cycles) + SoftmaxUnit.fixed_cycles(config)
        # Alone, the row's total is waited for while the write port is idle; of many rows it is
        # written in between.
        assert -5 <= many - alone - 28 * max(words * word_cycles, words + 1) <= 2
