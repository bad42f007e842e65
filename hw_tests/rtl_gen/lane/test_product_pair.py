# SPDX-License-Identifier: Apache-2.0
"""A cascaded pair against integers: the ends of weights at those of x, and random ones."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hw_tests.rtl_gen.lane.paired_rows import paired_rows
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.lane.product_pair import ProductPair

_SEED = 27
_ENDS = (-127, -126, -1, 0, 1, 127)


@pytest.mark.parametrize("bits", [8, 9, 12])
def test_both_sums_come_back(bits: int) -> None:
    dut = ProductPair(operand_bits=bits)
    chance = random.Random(salted(_SEED))
    half = 1 << (bits - 1)
    cases = [
        ([[w0, -w0], [w1, chance.choice((w1, -w1))]], [x, chance.choice((x, -x - 1))])
        for w0 in _ENDS
        for w1 in _ENDS
        for x in (-half, half - 1, -1, 0, 1)
    ]
    cases += [
        (
            [[chance.randint(-127, 127) for _ in range(2)] for _ in range(2)],
            [chance.randrange(-half, half) for _ in range(2)],
        )
        for _ in range(300)
    ]
    cases.append(([[127, 127], [-127, -127]], [-half, -half]))
    cases.append(([[-127, -127], [127, 127]], [-half, -half]))
    found = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(cases) + dut.LATENCY):
            low = ctx.get(dut.o_low)
            found.append((ctx.get(dut.o_high) + (low < 0), low))
            if cycle < len(cases):
                ctx.set(dut.i_elements, paired_rows(cases[cycle][0])[0])
                ctx.set(dut.i_operand, cases[cycle][1])
            await ctx.tick()

    simulate(dut, bench)
    wanted = [
        tuple(sum(w * value for w, value in zip(row, x, strict=True)) for row in rows)
        for rows, x in cases
    ]
    assert found[dut.LATENCY :] == wanted, f"seed {_SEED}"
