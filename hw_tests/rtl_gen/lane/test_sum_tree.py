# SPDX-License-Identifier: Apache-2.0
"""The adder tree against integers, with carries and a last operand of its own time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.lane.sum_tree import SumTree

_SEED = 28


@pytest.mark.parametrize("terms", [2, 8, 32])
def test_adds_terms_carries_and_the_last_operand(terms: int) -> None:
    bits, last_bits = 9, 14
    dut = SumTree(terms=terms, bits=bits, last_bits=last_bits, sum_bits=16)
    assert terms == 1 << dut.LATENCY
    chance = random.Random(salted(_SEED))
    cases = []
    for number in range(80):
        ends = number < 20
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        choices = (low, high) if ends else range(low, high + 1)
        values = [chance.choice(choices) for _ in range(terms)]
        values = [chance.choice((low, high))] * terms if number < 8 else values
        carries = chance.choice((0, (1 << terms) - 1, chance.getrandbits(terms)))
        cases.append((values, carries, 2 * chance.randrange(-(1 << 12), 1 << 12)))
    found = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(cases) + dut.LATENCY):
            found.append(ctx.get(dut.o_sum))
            if cycle < len(cases):
                ctx.set(dut.i_terms, cases[cycle][0])
                ctx.set(dut.i_carries, cases[cycle][1])
            if 0 <= cycle - dut.LAST_DELAY < len(cases):
                ctx.set(dut.i_last, cases[cycle - dut.LAST_DELAY][2])
            await ctx.tick()

    simulate(dut, bench)
    wanted = [sum(values) + carries.bit_count() + last for values, carries, last in cases]
    assert found[dut.LATENCY :] == wanted, f"seed {_SEED}"


@pytest.mark.parametrize("terms", [1, 6])
def test_terms_are_a_power_of_two(terms: int) -> None:
    with pytest.raises(ValueError, match=f"terms must be a power of two from 2 on, not {terms}"):
        SumTree(terms=terms, bits=8, last_bits=8, sum_bits=16)
