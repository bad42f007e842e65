# SPDX-License-Identifier: Apache-2.0
"""Exponents and bytes of words against numerics, one word per cycle, with the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from meadow.spec.numerics import word_exponent, word_values
from rtl_gen.blocks.word_rounding import WordRounding


def _run(width: int, words: list[list[int]]) -> list[tuple[int, list[int]]]:
    dut = WordRounding(width=width)
    packed = [sum((v & 0xFFFF) << (16 * i) for i, v in enumerate(word)) for word in words]
    raw = pipelined(
        dut,
        [{"i": word} for word in packed],
        lambda ctx: (ctx.get(dut.o_exponent), ctx.get(dut.o)),
        latency=dut.LATENCY,
    )
    results = []
    for exponent, word in raw:
        values = [word >> (8 * i) & 0xFF for i in range(width)]
        results.append((exponent, [value - (value >> 7 << 8) for value in values]))
    return results


def _expected(words: list[list[int]]) -> list[tuple[int, list[int]]]:
    return [(word_exponent(word), word_values(word, word_exponent(word))) for word in words]


def test_every_value_alone_in_its_word() -> None:
    """A word of one value and zeros: the value alone decides the exponent, and meets each."""
    rng = random.Random(salted(1))
    values = list(range(-32768, 32768, 3)) + [
        sign * (1 << bits) + step for bits in range(16) for sign in (-1, 1) for step in (-1, 0, 1)
    ]
    values = [value for value in values if -32768 <= value < 32768]
    rng.shuffle(values)
    words = [[0] * 16 for _ in values]
    for word, value in zip(words, values, strict=True):
        word[rng.randrange(16)] = value
    results = _run(16, words)
    assert results == _expected(words)
    assert {exponent for exponent, _ in results} == set(range(8))


@pytest.mark.parametrize("width", [16, 32, 64, 256])
def test_words_with_an_outlier_at_every_place(width: int) -> None:
    """The outlier alone decides; all others are shifted by its exponent, and rounded half up."""
    rng = random.Random(salted(width))
    words = []
    for place in range(width):
        for sign in (-1, 1):
            word = [rng.randrange(-127, 128) for _ in range(width)]
            word[place] = sign * (1 << (7 + place % 8)) + rng.randrange(2)
            words.append(word)
    results = _run(width, words)
    assert results == _expected(words)
    assert {exponent for exponent, _ in results} == set(range(8))


@pytest.mark.parametrize("width", [16, 64])
def test_words_at_the_ends(width: int) -> None:
    """Zeros, words that keep the exponent 0, and words that saturate with the largest."""
    rng = random.Random(salted(width))
    ends = [0, -1, 127, -127, -128, 128, 16255, 16256, 16319, 16320, -16256, -16320, -16321]
    words = [[end] * width for end in (*ends, 32767, -32768)]
    for limit in (1, 127, 128, 255, 256, 8191, 8192, 16383, 16384, 32767):
        words += [[rng.randrange(-limit - 1, limit + 1) for _ in range(width)] for _ in range(8)]
    results = _run(width, words)
    assert results == _expected(words)
    assert results[0] == (0, [0] * width)
    assert results[2] == (0, [127] * width)
    assert results[4] == (0, [-127] * width)
    assert results[13:15] == [(7, [127] * width), (7, [-127] * width)]
    # 16320 / 128 is 127.5 and saturates, the largest value below it rounds to 127 by itself.
    assert results[8] == results[9] == (7, [127] * width)
