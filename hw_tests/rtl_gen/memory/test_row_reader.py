# SPDX-License-Identifier: Apache-2.0
"""Rows through the reader: both passes see every word once, in order, within the bounds that the
reader keeps.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.vector.vector_bench import small_config
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.memory.row_reader import ROWS_AHEAD, RowReader


@pytest.mark.parametrize(("grant", "take"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.2), (0.6, 0.6)])
def test_rows(grant: float, take: float) -> None:
    seed = f"{grant} {take}"
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    dut = RowReader(config=small_config(16))
    rows = [(rng.randrange(1 << 20), rng.choice([1, 2, 3, 8])) for _ in range(60)]
    words = [
        ((address + k) % (1 << 20), k == 0, k == count - 1)
        for address, count in rows
        for k in range(count)
    ]
    first_pass: list[tuple[int, bool, bool]] = []
    second_pass: list[tuple[int, bool]] = []
    requests: list[int] = []

    async def process(ctx):
        answers: list[tuple[int, int]] = []
        row = done = owed = 0
        for cycle in range(4000):
            ctx.set(dut.i_row.valid, row < len(rows))
            if row < len(rows):
                ctx.set(dut.i_row.payload, {"address": rows[row][0], "words": rows[row][1]})
            ctx.set(dut.o_read.address.ready, rng.random() < grant)
            ctx.set(dut.o.ready, rng.random() < take)
            due = bool(answers) and answers[0][0] == cycle
            ctx.set(dut.o_read.data.valid, due)
            if due:
                ctx.set(dut.o_read.data.payload, answers.pop(0)[1])
            report = owed > 0 and rng.random() < take
            ctx.set(dut.i_row_done, report)
            owed -= report
            done += report
            if ctx.get(dut.o_read.address.valid & dut.o_read.address.ready):
                address = ctx.get(dut.o_read.address.payload)
                answers.append((cycle + ActivationMemory.READ_LATENCY["vector"], address))
                requests.append(cycle)
            if ctx.get(dut.o_word.valid):
                word = dut.o_word.payload
                first_pass.append(
                    (ctx.get(word.data), bool(ctx.get(word.first)), bool(ctx.get(word.last)))
                )
            if ctx.get(dut.o.valid & dut.o.ready):
                last = bool(ctx.get(dut.o.payload.last))
                second_pass.append((ctx.get(dut.o.payload.data), last))
                owed += last
            row += ctx.get(dut.i_row.valid & dut.i_row.ready)
            assert row - done <= ROWS_AHEAD
            assert len(requests) - len(second_pass) <= dut.depth
            if done == len(rows):
                break
            await ctx.tick()
        assert done == len(rows)

    simulate(dut, process)
    assert first_pass == words
    assert second_pass == [(address, last) for address, _, last in words]
    if grant == take == 1.0:
        assert requests == list(range(1, 1 + len(words))), (
            "a word per cycle from the second cycle on"
        )
