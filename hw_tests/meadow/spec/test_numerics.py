# SPDX-License-Identifier: Apache-2.0
"""The scalar numerics against exact rationals, floats and hand-computed values."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_tests.seeds import salted
from meadow.spec import numerics as n


def test_tables() -> None:
    assert len(n.EXP2_TABLE) == 256
    assert (n.EXP2_TABLE[0], n.EXP2_TABLE[128], n.EXP2_TABLE[255]) == (65536, 46341, 32857)
    assert list(n.EXP2_TABLE) == sorted(n.EXP2_TABLE, reverse=True)
    assert len(n.NEWTON_TABLE) == 384 and max(n.NEWTON_TABLE) < 1 << 16
    assert list(n.NEWTON_TABLE) == sorted(n.NEWTON_TABLE, reverse=True)


def test_saturate() -> None:
    assert [n.saturate(v, 8) for v in (-129, -128, -127, 0, 127, 128)] == [-127] * 3 + [0, 127, 127]
    assert [n.saturate(v, 16) for v in (-40000, -32768, 32767, 40000)] == [
        -32768,
        -32768,
        32767,
        32767,
    ]


@given(st.integers(-(1 << 52), 1 << 52), st.integers(1, 63))
def test_rounding_shift_is_round_half_up(value: int, shift: int) -> None:
    exact = math.floor(Fraction(value, 1 << shift) + Fraction(1, 2))
    assert n.rounding_shift(value, shift) == exact
    assert n.rounding_shift(value, 0) == value


@given(st.integers(-(1 << 35), (1 << 35) - 1), st.integers(0, 65535), st.integers(1, 47))
def test_requantise_rounds_once(value: int, multiplier: int, shift: int) -> None:
    exact = math.floor(Fraction(value * multiplier, 1 << shift) + Fraction(1, 2))
    assert n.requantise(value, multiplier, shift, 16) == max(-32768, min(32767, exact))
    assert n.requantise(value, multiplier, shift, 8) == max(-127, min(127, exact))


def test_requantise_checks_its_parameters() -> None:
    for multiplier in (-1, 65536):
        with pytest.raises(
            ValueError, match=f"multiplier must fit 16 unsigned bits, not {multiplier}"
        ):
            n.requantise(1, multiplier, 1, 8)
    for shift in (0, 48):
        with pytest.raises(ValueError, match=f"shift must be in 1..47, not {shift}"):
            n.requantise(1, 1, shift, 8)


def test_block_maximum_rounds_up() -> None:
    values = (-32768, -257, -256, -255, 0, 1, 256, 257, 32767)
    assert [n.block_maximum(v) for v in values] == [-128, -1, -1, 0, 0, 1, 1, 2, 128]


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_probability_is_within_one_unit_and_saturates(bits: int) -> None:
    limit = (1 << bits) - 1
    assert n.probability(512, 2, bits) == limit
    for distance in range(0, 20 * 256, 7):
        exact = 2.0 ** (bits - distance / 256)
        assert abs(n.probability(512 - distance, 2, bits) - min(limit, exact)) <= 0.51
    assert n.probability(-32768, 128, bits) == 0
    with pytest.raises(ValueError, match="score 513 exceeds its running maximum 2"):
        n.probability(513, 2, bits)


def test_reciprocal_and_output_scale() -> None:
    assert n.reciprocal(0) == (0, 0)
    source = random.Random(salted(1))
    for total in [1, 2, 3, 255, 4095, *(source.randrange(1, 1 << 24) for _ in range(500))]:
        q, length = n.reciprocal(total)
        assert 1 << 15 <= q < 1 << 16 and length == total.bit_length()
        assert q * 2.0 ** (-15 - length) == pytest.approx(1 / total, rel=2**-14)
    # A mean of V of 100 at gain 1: multiplier * 2^(-1 - shift) = 1.
    for total in (4095, 100_000, 4095 * 4096):
        multiplier, shift = n.output_scale(total, 1 << 15, 14)
        assert n.requantise(total * 100, multiplier, shift, 8) == 100
    assert n.output_scale(0, 65535, 14) == (0, 14)
    assert n.output_scale(1, 65535, -64)[1] == 1 and n.output_scale(1 << 30, 1, 60)[1] == 47


def test_table_index_covers_the_table() -> None:
    values = (-32768, -32737, -32736, -1, 0, 31, 32, 32767)
    assert [n.table_index(v) for v in values] == [0, 0, 1, 1023, 1024, 1024, 1025, 2047]
    assert n.TABLE_ENTRIES << n.TABLE_SHIFT == 1 << 16


def test_rotate_follows_the_angle() -> None:
    assert n.rotate(100, 50, 1 << 14, 0, 14) == (100, 50)
    assert n.rotate(100, 50, 0, 1 << 14, 14) == (-50, 100)
    assert n.rotate(32767, -32768, 1 << 14, 1 << 14, 1) == (127, -127)
    source = random.Random(salted(5))
    for _ in range(500):
        x, y = source.randint(-5000, 5000), source.randint(-5000, 5000)
        angle = source.uniform(0, 7)
        cosine, sine = round(math.cos(angle) * 2**14), round(math.sin(angle) * 2**14)
        turned = complex(x, y) * complex(math.cos(angle), math.sin(angle)) / 64
        got = n.rotate(x, y, cosine, sine, 20)
        assert abs(got[0] - turned.real) < 0.52 and abs(got[1] - turned.imag) < 0.52


def test_gate_rounds_half_up_and_saturates() -> None:
    pairs = ((3, 8), (-3, 8), (3, 7), (32767, 32767), (-32768, 32767), (-32768, -32768))
    assert [n.gate(a, b, 4) for a, b in pairs] == [2, -1, 1, 32767, -32768, 32767]


@pytest.mark.parametrize(
    ("values", "exponent", "held"),
    [
        ([0, 0, 0], 0, [0, 0, 0]),
        ([127, -127, 1], 0, [127, -127, 1]),
        ([-128, 0, 0], 0, [-127, 0, 0]),  # ~(-128) is 127: no exponent is needed but for one unit
        ([128, 1, -1], 1, [64, 1, 0]),
        ([-129, 3, -3], 1, [-64, 2, -1]),
        ([255, 254, -255], 1, [127, 127, -127]),  # 255 rounds to 128, which saturates
        ([16383, -16384, 64], 7, [127, -127, 1]),
        ([16384, 63, -64], 7, [127, 0, 0]),
        ([32767, -32768, 8128], 7, [127, -127, 64]),
    ],
)
def test_a_word_has_the_exponent_of_its_largest_value(
    values: list[int], exponent: int, held: list[int]
) -> None:
    assert n.word_exponent(values) == exponent
    assert n.word_values(values, exponent) == held


@given(st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=1, max_size=8))
def test_a_word_is_within_half_a_unit_or_saturates(values: list[int]) -> None:
    exponent = n.word_exponent(values)
    for value, held in zip(values, n.word_values(values, exponent), strict=True):
        error = Fraction(abs(value - (held << exponent)), 1 << exponent)
        assert error <= Fraction(1, 2) or (abs(held) == 127 and abs(value) > 127 << exponent)
        assert exponent == n.LARGEST_EXPONENT or error <= 1
    assert exponent == 0 or max(max(v, ~v) for v in values) >= 64 << exponent


def test_softmax_row_has_one_maximum() -> None:
    assert n.softmax_row([512], 12) == ([4095], 4095)
    scores = [600, 0, -32768, 599, 700]
    row, total = n.softmax_row(scores, 12)
    assert row == [n.probability(score, 3, 12) for score in scores] and total == sum(row)
    powers = [2 ** (score / 256) for score in scores]
    for p, power in zip(row, powers, strict=True):
        assert p / total == pytest.approx(power / sum(powers), abs=1e-3)


def test_rsqrt() -> None:
    source = random.Random(salted(2))
    for value in [1, 2, 3, 4, (1 << 62) - 1, *(1 << source.randrange(62) for _ in range(100))]:
        r, half = n.rsqrt(value)
        assert 0 < r < 1 << 16
        assert r * 2.0 ** (-15 - half) == pytest.approx(value**-0.5, rel=2**-14)
    for _ in range(2000):
        value = source.randrange(1, 1 << source.randrange(1, 62))
        r, half = n.rsqrt(value)
        assert r * 2.0 ** (-15 - half) == pytest.approx(value**-0.5, rel=2**-14)
    for value in (0, 1 << 62):
        with pytest.raises(ValueError, match="rsqrt takes 1 <= value < 2"):
            n.rsqrt(value)


@pytest.mark.parametrize("rms", [False, True])
def test_layer_norm_row_follows_the_float_formula(rms: bool) -> None:
    source = random.Random(salted(3))
    channels = 100
    row = [source.randint(-2000, 3000) for _ in range(channels)]
    gain = [source.randint(2000, 6000) for _ in range(channels)]
    offset = [source.randint(-3000, 3000) for _ in range(channels)]
    got = n.layer_norm_row(
        row,
        gain,
        offset,
        channels=channels,
        epsilon=channels**2,
        mean_multiplier=round(16 / channels * 2**18),
        mean_shift=18,
        norm_shift=0,
        offset_shift=8,
        output_shift=19,
        rms=rms,
    )
    mean = 0.0 if rms else sum(row) / channels
    deviation = math.sqrt(sum(x * x for x in row) / channels - mean * mean + 1)
    # norm_shift 0 gives n = 16 * 2^15 / channels units per deviation.
    unit = 16 * 2**15 / channels
    for x, g, b, y in zip(row, gain, offset, got, strict=True):
        exact = ((x - mean) / deviation * unit * g + b * 2**8) / 2**19
        assert abs(y - exact) < 0.6


def test_layer_norm_row_saturates_at_16_bits() -> None:
    source = random.Random(salted(4))
    row = [source.randint(-2000, 3000) for _ in range(50)]
    gain = [source.randint(2000, 6000) for _ in range(50)]
    fields = dict(channels=50, epsilon=2500, mean_multiplier=20972, mean_shift=16)
    fields |= dict(norm_shift=0, offset_shift=8)
    short = n.layer_norm_row(row, gain, gain, **fields, output_shift=19)
    long = n.layer_norm_row(row, gain, gain, **fields, output_shift=12)
    assert 127 < max(long) < 32767
    for a, b in zip(short, long, strict=True):
        assert abs(a - b / 128) < 0.51
    far = n.layer_norm_row(row, gain, gain, **fields, output_shift=1)
    assert max(far) == 32767 and min(far) == -32768


def test_layer_norm_padding_is_zero_and_does_not_count() -> None:
    def norm(row: list[int], gain: list[int], offset: list[int]) -> list[int]:
        return n.layer_norm_row(
            row,
            gain,
            offset,
            channels=3,
            epsilon=9,
            mean_multiplier=43691,
            mean_shift=13,
            norm_shift=2,
            offset_shift=0,
            output_shift=16,
        )

    short = norm([900, -300, 40], [4000] * 3, [1] * 3)
    assert norm([900, -300, 40, 0], [4000] * 3 + [0], [1] * 3 + [0]) == [*short, 0]
    assert any(short)
