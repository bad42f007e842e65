# SPDX-License-Identifier: Apache-2.0
"""ATTEND and SOFTMAX of the architectural machine against plain Python on
`meadow.spec.numerics`.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.epilogues import written_word
from hw_tests.noisy_machine import machine
from hw_tests.scalar_attention import ScalarAttention
from meadow.golden.machine.machine import Machine
from meadow.golden.machine.state import MachineError
from meadow.spec import numerics
from meadow.spec.commands import AttendPart, Command, Opcode, TrafficClass
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.step import Sequence, Step

CONFIGS = [named_config(name) for name in ("tiny", "small", "zcu102-paper")]
SCALES = dict(score_multiplier=50000, score_shift=25, output_multiplier=60000, output_shift=10)


def quiet_machine(config: AcceleratorConfig) -> Machine:
    """Activations without -128, which the hardware does not write; K and V may hold it, and do."""
    made = machine(config, 1 << 18)
    made.activations[made.activations == 128] = 129
    made.dram[::13] = 128
    return made


def cached(made: Machine, start: int, keys: int, blocks: int, size: int) -> list[list[int]]:
    """Rows of K or V, -127 for -128, whose head-dim blocks of `size` bytes lie 700 beats apart
    from beat `start`.
    """
    places = [16 * (start + 700 * block) for block in range(blocks)]
    parts = [made.dram[p : p + keys * size].reshape(keys, size) for p in places]
    elements = np.concatenate(parts, axis=1).view(np.int8)
    assert (elements == -128).any()
    return np.maximum(elements, -127).tolist()


def scalar(config: AcceleratorConfig, size: int) -> ScalarAttention:
    """Attention of heads that take `size` bytes of a word."""
    return ScalarAttention(
        width=config.width,
        probability_bits=config.probability_bits,
        score=(SCALES["score_multiplier"], SCALES["score_shift"]),
        output=(SCALES["output_multiplier"], SCALES["output_shift"]),
        output_bits=16 if size == config.width else 8,
    )


def put_output(
    words: np.ndarray, exponents: np.ndarray, result: list[int], place: slice = slice(None)
) -> None:
    """The output of a head into its words [blocks, W] and their exponents [blocks]: words with
    their own, or bytes `place` of one word, whose exponent stays."""
    width = words.shape[1]
    if place != slice(None):
        words[:, place] = np.array(result, np.int8).view(np.uint8)
        return
    for block in range(len(words)):
        values, exponents[block] = written_word(result[block * width : (block + 1) * width])
        words[block] = np.array(values, np.int8).view(np.uint8)


@pytest.mark.parametrize(
    ("config", "head_dim", "column", "heads"),
    [
        (CONFIGS[0], 16, 0, 1),
        (CONFIGS[0], 64, 0, 2),
        (CONFIGS[1], 16, 1, 3),
        (CONFIGS[1], 32, 0, 1),
        (CONFIGS[1], 64, 0, 4),
        (CONFIGS[2], 32, 2, 1),
        (CONFIGS[2], 32, 2, 16),
        (CONFIGS[2], 128, 0, 5),
    ],
)
@pytest.mark.parametrize("causal", [1, 0])
def test_attend(
    config: AcceleratorConfig, head_dim: int, column: int, heads: int, causal: int
) -> None:
    made, size = quiet_machine(config), min(head_dim, config.width)
    blocks = head_dim // size
    stride = heads * blocks + 2
    fields = dict(query=30, query_stride=stride, blocks=blocks, segment_beats=size // 16)
    fields |= dict(column_beats=column, key_offset=16, value_offset=3000, block_stride=700)
    fields |= SCALES | dict(causal=causal, heads=heads)
    position = config.width + 3
    sequences = (Sequence(0, position, 4, 0), Sequence(6000, 0, 3, 4))
    expected, exponents = made.activations.copy(), made.exponents.copy()
    place = slice(16 * column, 16 * column + size) if size < config.width else slice(None)
    for entry in sequences:
        length = entry.position + entry.tokens
        keys, values = (
            cached(made, entry.kv_base + offset, length, blocks, size) for offset in (16, 3000)
        )
        for token in range(entry.tokens):
            seen = entry.position + token + 1 if causal else length
            for head in range(heads):
                first = 30 + stride * (entry.first_row + token) + head * blocks
                words = slice(first, first + blocks)
                query = expected[words, place].copy().view(np.int8).reshape(-1).tolist()
                result = scalar(config, size).online(query, keys, values, seen)
                put_output(expected[words], exponents[words], result, place)
    made.execute(Command(Opcode.ATTEND, fields), Step(sequences))
    assert (made.activations == expected).all() and (made.exponents == exponents).all()
    assert made.traffic[TrafficClass.KV_READ] == 2 * head_dim * (position + 4 + 3)


def test_attend_of_some_of_the_tokens() -> None:
    """Tokens 3 .. 7 of ten; the others keep their Q, and later keys are not read."""
    config = CONFIGS[1]
    made = quiet_machine(config)
    fields = dict(query=0, query_stride=2, blocks=1, segment_beats=2, heads=2, first=3, rows=5)
    fields |= dict(key_offset=16, value_offset=3000, causal=1) | SCALES
    keys, values = (cached(made, offset, 28, 1, 32) for offset in (16, 3000))
    expected, exponents = made.activations.copy(), made.exponents.copy()
    for token in range(3, 8):
        for word in (slice(2 * token, 2 * token + 1), slice(2 * token + 1, 2 * token + 2)):
            query = expected[word].view(np.int8).reshape(-1).tolist()
            result = scalar(config, 32).online(query, keys, values, 21 + token)
            put_output(expected[word], exponents[word], result)
    made.execute(Command(Opcode.ATTEND, fields), Step((Sequence(0, 20, 10),)))
    assert (made.activations == expected).all() and (made.exponents == exponents).all()
    assert made.traffic[TrafficClass.KV_READ] == 2 * 32 * 28


@pytest.mark.parametrize(
    ("config", "head_dim", "position", "tokens", "first", "rows"),
    [
        (CONFIGS[0], 16, 0, 5, 0, 0),
        (CONFIGS[0], 32, 13, 9, 0, 0),
        (CONFIGS[1], 16, 50, 11, 2, 6),
        (CONFIGS[1], 64, 7, 20, 12, 8),
        (CONFIGS[2], 64, 100, 40, 0, 0),
        (CONFIGS[2], 128, 30, 50, 17, 33),
    ],
)
@pytest.mark.parametrize("causal", [1, 0])
def test_scores_softmax_and_values(
    config: AcceleratorConfig,
    head_dim: int,
    position: int,
    tokens: int,
    first: int,
    rows: int,
    causal: int,
) -> None:
    if not causal and rows:
        first = tokens - rows
    made, size, width = quiet_machine(config), min(head_dim, config.width), config.width
    blocks, count = head_dim // size, rows or tokens
    total_keys = position + first + count
    key_blocks = -(-total_keys // width)
    stride, area = 2 * key_blocks + 3, 2000
    fields = dict(query=0, query_stride=blocks, blocks=blocks, segment_beats=size // 16)
    fields |= dict(key_offset=16, value_offset=6000, block_stride=700, causal=causal, heads=1)
    fields |= dict(scores=area, scores_stride=stride, first=first, rows=rows) | SCALES
    described = Step((Sequence(0, position, tokens),))
    keys, values = (cached(made, offset, total_keys, blocks, size) for offset in (16, 6000))
    seen = [position + first + r + 1 if causal else total_keys for r in range(count)]
    group_last = [
        min(r // config.lanes * config.lanes + config.lanes, count) - 1 for r in range(count)
    ]
    shown = [
        -(-seen[last] // width) * width for last in group_last
    ]  # keys of the blocks of the row's group
    queries = [
        made.activations[(first + r) * blocks : (first + r + 1) * blocks, :size].copy()
        for r in range(count)
    ]
    queries = [query.view(np.int8).reshape(-1).tolist() for query in queries]

    def put(expected: np.ndarray, row: int, elements: list[int]) -> None:
        start = area + row * stride + 1
        exponents[start : start + 2 * len(elements) // width] = 0
        words = expected[start : start + 2 * len(elements) // width]
        words[:] = np.array(elements, "<i2").view(np.uint8).reshape(words.shape)

    def run(opcode: Opcode, values: dict[str, int], expected: np.ndarray) -> None:
        made.execute(Command(opcode, values), described)
        assert (made.activations == expected).all() and (made.exponents == exponents).all()

    expected, exponents = made.activations.copy(), made.exponents.copy()
    scores = []
    for row in range(count):
        products = [
            sum(q * k for q, k in zip(queries[row], key, strict=True)) for key in keys[: seen[row]]
        ]
        scale = SCALES["score_multiplier"], SCALES["score_shift"]
        scores.append([numerics.requantise(value, *scale, 16) for value in products])
        put(expected, row, scores[row] + [-32768] * (shown[row] - seen[row]))
    run(Opcode.ATTEND, fields | dict(part=AttendPart.SCORES), expected)
    assert made.traffic[TrafficClass.KV_READ] == total_keys * head_dim

    for row in range(count):
        powers, total = numerics.softmax_row(scores[row], config.probability_bits)
        put(expected, row, powers + [0] * (shown[row] - seen[row]))
        expected[area + row * stride] = exponents[area + row * stride] = 0
        expected[area + row * stride, :4] = list(total.to_bytes(4, "little"))
    softmax = dict(source=area, source_stride=stride, rows=count, keys=seen[0], causal=causal)
    run(Opcode.SOFTMAX, softmax, expected)

    for row in range(count):
        result = scalar(config, size).layerwise(queries[row], keys, values, seen[row])
        words = slice((first + row) * blocks, (first + row + 1) * blocks)
        place = slice(0, size) if size < width else slice(None)
        put_output(expected[words], exponents[words], result, place)
    run(Opcode.ATTEND, fields | dict(part=AttendPart.VALUES), expected)
    assert made.traffic[TrafficClass.KV_READ] == 2 * total_keys * head_dim


def test_softmax_of_a_saturated_row_and_of_the_least_scores() -> None:
    config = CONFIGS[0]
    made = machine(config)
    rows = np.full((3, 16), -(1 << 15), "<i2")
    rows[1] = (1 << 15) - 1
    rows[2, 5] = 0
    made.activations[1:3] = rows[0].view(np.uint8).reshape(2, -1)
    made.activations[4:6] = rows[1].view(np.uint8).reshape(2, -1)
    made.activations[7:9] = rows[2].view(np.uint8).reshape(2, -1)
    fields = dict(source=0, source_stride=3, rows=3, keys=16)
    made.execute(Command(Opcode.SOFTMAX, fields), Step((Sequence(0, 0, 1),)))
    found = made.activations[:9].reshape(3, 3, 16)
    totals = found[:, 0].copy().view("<u4")[:, 0].tolist()
    powers = found[:, 1:].copy().view("<u2").reshape(3, 16).tolist()
    assert powers[0] == [4095] * 16 and totals[0] == 16 * 4095
    assert powers[1] == [numerics.probability(32767, 128, 12)] * 16
    assert powers[2] == [0] * 5 + [4095] + [0] * 10 and totals[2] == 4095


@pytest.mark.parametrize("wrong", [4096, -1])
def test_values_takes_probabilities_only(wrong: int) -> None:
    made = quiet_machine(CONFIGS[0])
    fields = dict(query=0, query_stride=1, blocks=1, segment_beats=1, heads=1, causal=1)
    fields |= dict(part=AttendPart.VALUES, scores=100, scores_stride=3) | SCALES
    made.activations[100:103] = 0
    step = Step((Sequence(0, 3, 1),))
    made.execute(Command(Opcode.ATTEND, fields), step)
    assert not made.activations[0].any()
    made.activations[101].view("<i2")[2] = wrong
    with pytest.raises(MachineError, match=f"probabilities must be in 0..4095, not {wrong}"):
        made.execute(Command(Opcode.ATTEND, fields), step)
    made.activations[101].view("<i2")[2] = 0
    made.activations[101].view("<i2")[4] = 7
    with pytest.raises(MachineError, match="probabilities must be 0 from key 4 on, not 7"):
        made.execute(Command(Opcode.ATTEND, fields), step)
