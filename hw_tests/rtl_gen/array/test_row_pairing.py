# SPDX-License-Identifier: Apache-2.0
"""Rows in pairs, and their sums in time for the lanes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hw_tests.rtl_gen.lane.paired_rows import paired_rows
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from hw_tests.unit_config import lane_config
from rtl_gen.array.row_pairing import RowPairing
from rtl_gen.lane.latency import LaneLatency

_SEED = 29


@pytest.mark.parametrize(("width", "rows"), [(16, 2), (16, 4), (32, 8)])
def test_pairs_and_sums_of_rows(width: int, rows: int) -> None:
    config = lane_config(width, 1, rows, 2)
    dut = RowPairing(config=config)
    chance = random.Random(salted(_SEED))
    behind = dut.LATENCY + LaneLatency.of(config).row_sum
    cases = [
        [[chance.choice((-127, 127, chance.randint(-127, 127)))] * width for _ in range(rows)]
        for _ in range(8)
    ]
    cases += [
        [[chance.randint(-127, 127) for _ in range(width)] for _ in range(rows)] for _ in range(30)
    ]

    async def bench(ctx: Any) -> None:
        for cycle in range(len(cases) + behind):
            if cycle < len(cases):
                ctx.set(dut.i_rows, cases[cycle])
            if 0 <= cycle - dut.LATENCY < len(cases):
                sent = cases[cycle - dut.LATENCY]
                pairs = [
                    [
                        {name: ctx.get(getattr(element, name)) for name in ("low", "high", "odd")}
                        for element in pair
                    ]
                    for pair in dut.o_rows
                ]
                assert pairs == paired_rows(sent), f"seed {_SEED}"
            if cycle >= behind:
                sums = [ctx.get(total) for total in dut.o_row_sums]
                assert sums == [sum(row) for row in cases[cycle - behind]], f"seed {_SEED}"
            await ctx.tick()

    simulate(dut, bench)
