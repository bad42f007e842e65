# SPDX-License-Identifier: Apache-2.0
"""Two dot products against integer arithmetic, with a new operand of either kind in any cycle."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_tests.rtl_gen.lane.paired_rows import paired_rows
from hw_tests.seeds import salted
from hw_tests.streams import Rig, simulate
from meadow.spec.config import named_config
from rtl_gen.lane.dot_product import DotProductPair, operand_bits

_SEED = 16
Case = tuple[bool, list[list[int]], list[int]]
"""Whether x is probabilities, two rows, x."""


def _products(dut: DotProductPair, cases: list[Case], rig: Rig | None = None) -> list[list[int]]:
    """The two sums of each case, one case per cycle."""
    offset, behind = 1 << (operand_bits(dut.config) - 1), dut.row_sum(dut.config)
    found: list[list[int]] = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(cases) + dut.LATENCY):
            found.append([ctx.get(total) for total in dut.o_sums])
            if cycle < len(cases):
                ctx.set(dut.i_rows, paired_rows(cases[cycle][1])[0])
                probabilities, _, x = cases[cycle]
                ctx.set(dut.i_operand, [value - offset * probabilities for value in x])
                ctx.set(dut.i_probabilities, probabilities)
            if 0 <= cycle - behind < len(cases):
                rows = cases[cycle - behind][1]
                ctx.set(dut.i_row_sums, [sum(row) for row in rows])
            await ctx.tick()

    if rig is None:
        simulate(dut, bench)
    else:
        rig.simulate(bench)
    return found[dut.LATENCY :]


def _wanted(cases: list[Case]) -> list[list[int]]:
    return [
        [sum(w * value for w, value in zip(row, x, strict=True)) for row in rows]
        for _, rows, x in cases
    ]


def _corners(width: int, most: int) -> list[Case]:
    """Rows of +-127 against the ends of either kind of x: all alike, and in every other place."""
    cases: list[Case] = []
    for w0 in (-127, 127):
        for w1 in (-127, 127):
            for probabilities, ends in ((True, (0, most)), (False, (-128, 127))):
                for left in ends:
                    for right in ends:
                        x = [left, right] * (width // 2)
                        cases.append((probabilities, [[w0] * width, [w1] * width], x))
                        rows = [[w0, -w0] * (width // 2), [-w1, w1] * (width // 2)]
                        cases.append((probabilities, rows, x))
    return cases


@pytest.mark.parametrize(
    ("width", "bits"), [(16, 12), (32, 12), (64, 12), (32, 7), (64, 4), (16, 9)]
)
def test_exact_sums_of_two_rows_per_cycle(width: int, bits: int) -> None:
    config = dataclasses.replace(named_config("tiny"), width=width, probability_bits=bits)
    dut = DotProductPair(config=config)
    assert operand_bits(config) == max(8, bits)
    chance = random.Random(salted(_SEED))
    most = (1 << bits) - 1
    cases = _corners(width, most)
    for _ in range(60):
        probabilities = chance.random() < 0.5
        low, high = (0, most) if probabilities else (-128, 127)
        weights = chance.choice([(-127, 127), (-1, 1), (-127, -126)])
        rows = [[chance.randint(*weights) for _ in range(width)] for _ in range(2)]
        ends = chance.random() < 0.3
        x = [
            chance.choice((low, high)) if ends else chance.randint(low, high) for _ in range(width)
        ]
        cases.append((probabilities, rows, x))
    chance.shuffle(cases)
    assert _products(dut, cases) == _wanted(cases), f"seed {_SEED}"


_WIDTH = 16
_WEIGHTS = st.lists(st.integers(-127, 127), min_size=_WIDTH, max_size=_WIDTH)
_RIG: list[tuple[DotProductPair, Rig]] = []


def _rig() -> tuple[DotProductPair, Rig]:
    if not _RIG:
        dut = DotProductPair(config=named_config("tiny"))
        _RIG.append((dut, Rig(dut)))
    return _RIG[0]


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    probabilities = draw(st.booleans())
    element = st.integers(0, 4095) if probabilities else st.integers(-128, 127)
    x = draw(st.lists(element, min_size=_WIDTH, max_size=_WIDTH))
    return probabilities, [draw(_WEIGHTS), draw(_WEIGHTS)], x


@settings(max_examples=25, deadline=None)
@given(st.lists(_cases(), min_size=1, max_size=6))
def test_any_operands_in_any_order(cases: list[Case]) -> None:
    dut, rig = _rig()
    assert _products(dut, cases, rig) == _wanted(cases)
