# SPDX-License-Identifier: Apache-2.0
"""Sums of two rows in the words of one adder tree against integers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.lane.packed_tree import PackedTree

_SEED = 91


@pytest.mark.parametrize(
    ("terms", "bits", "levels"),
    [(2, 20, 0), (4, 20, 1), (32, 20, 4), (128, 20, 4), (16, 16, 3), (8, 24, 0), (8, 3, 2)],
)
def test_adds_neighbours_of_both_rows(terms: int, bits: int, levels: int) -> None:
    dut = PackedTree(terms=terms, bits=bits)
    assert (dut.LEVELS, dut.FIELD_BITS) == (levels, bits + levels)
    chance = random.Random(salted(_SEED))
    half = 1 << (bits - 1)
    cases = []
    for number in range(60):
        # What a pair of products gives: less than a whole field where the lower one is negative.
        low = [chance.choice((-half, half - 1, -1, 0, 1)) for _ in range(terms)]
        high = [chance.choice((-half, half - 1 - (value < 0))) for value in low]
        if number < 4:
            low = [(-half, half - 1)[number % 2]] * terms
            high = [(-half, half - 2)[number // 2]] * terms
        if number > 30:
            low = [chance.randrange(-half, half) for _ in range(terms)]
            high = [chance.randrange(-half, half) for _ in range(terms)]
        cases.append((low, high))
    found = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(cases) + levels):
            if cycle < len(cases):
                ctx.set(dut.i_low, cases[cycle][0])
                ctx.set(dut.i_high, cases[cycle][1])
            if cycle >= levels:
                lows = [ctx.get(low) for low in dut.o_low]
                highs = [ctx.get(high) for high in dut.o_high]
                found.append((lows, [a + (b < 0) for a, b in zip(highs, lows, strict=True)]))
            # Without a level there is no clock.
            await (ctx.tick() if levels else ctx.delay(1e-6))

    simulate(dut, bench)
    step = 1 << levels
    wanted = [
        (
            [sum(low[first : first + step]) for first in range(0, terms, step)],
            [
                sum(high[first : first + step]) + sum(v < 0 for v in low[first : first + step])
                for first in range(0, terms, step)
            ],
        )
        for low, high in cases
    ]
    assert found == wanted, f"seed {_SEED}"


def test_every_adder_asks_for_a_dsp() -> None:
    text = convert_component(PackedTree(terms=8, bits=20), name="part")
    assert text.count('(* use_dsp = "yes" *)') == 4 + 2


@pytest.mark.parametrize("terms", [1, 6])
def test_terms_are_a_power_of_two(terms: int) -> None:
    with pytest.raises(ValueError, match=f"terms must be a power of two from 2 on, not {terms}"):
        PackedTree(terms=terms, bits=8)


def test_a_word_holds_two_terms() -> None:
    with pytest.raises(ValueError, match="bits must be at most 24, not 25"):
        PackedTree(terms=8, bits=25)
