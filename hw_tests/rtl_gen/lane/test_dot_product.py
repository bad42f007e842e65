# SPDX-License-Identifier: Apache-2.0
"""The dot product against integer arithmetic, with a new operand in any cycle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import named_config
from rtl_gen.lane.dot_product import DotProduct, operand_bits

_SEED = 16


@pytest.mark.parametrize(("width", "bits"), [(16, 12), (32, 7), (64, 4)])
def test_exact_sums_one_row_per_cycle(width: int, bits: int) -> None:
    config = dataclasses.replace(named_config("tiny"), width=width, probability_bits=bits)
    dut = DotProduct(config=config)
    assert operand_bits(config) == max(8, bits + 1)
    numbers = np.random.default_rng(salted(_SEED))
    high = (1 << (operand_bits(config) - 1)) - 1
    rows = numbers.integers(-128, 128, (24, width))
    operands = numbers.integers(-high - 1, high + 1, (24, width))
    rows[:4], operands[:2], operands[2:4] = -128, -high - 1, high
    found: list[int] = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(rows) + dut.LATENCY):
            found.append(ctx.get(dut.o_sum))
            if cycle < len(rows):
                for element in range(width):
                    ctx.set(dut.i_row[element], int(rows[cycle, element]))
            if 1 <= cycle <= len(rows):
                # The operand belongs to the row of the cycle before.
                for element in range(width):
                    ctx.set(dut.i_operand[element], int(operands[cycle - 1, element]))
            await ctx.tick()

    simulate(dut, bench)
    assert found[dut.LATENCY :] == (rows * operands).sum(axis=1).tolist(), f"seed {_SEED}"
