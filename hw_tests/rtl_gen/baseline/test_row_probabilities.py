# SPDX-License-Identifier: Apache-2.0
"""Probabilities and totals of rows against numerics, at the declared latencies, with every kind of
stall.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.vector.vector_bench import pack, small_config
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.numerics import block_maximum, probability
from rtl_gen.baseline.row_probabilities import RowProbabilities


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("send", [1.0, 0.5])
def test_rows(width: int, send: float) -> None:
    rng = random.Random(salted(width))
    config = small_config(width)
    dut = RowProbabilities(config=config)
    half = width // 2
    parts = dut.word_cycles(config)
    assert dut.units(config) * parts == half
    rows = []
    for words in (1, 2, 8, 1, 1, 3, 4):
        keys = rng.randrange(1, words * half + 1)
        scores = [rng.randrange(-700, 700) for _ in range(words * half)]
        maximum = block_maximum(max(scores[:keys]))
        rows.append((scores, keys, maximum))
    words_in = [
        (pack(scores[k : k + half], 16), k + half == len(scores))
        for scores, _, _ in rows
        for k in range(0, len(scores), half)
    ]
    expected, totals = [], []
    for scores, keys, maximum in rows:
        values = [probability(z, maximum, config.probability_bits) for z in scores[:keys]]
        totals.append(sum(values))
        values += [0] * (len(scores) - keys)
        for k in range(0, len(values), half):
            expected.append((pack(values[k : k + half], config.probability_bits), k))
    taken: list[int] = []
    row_ends: list[int] = []
    seen: list[tuple[int, int]] = []
    seen_totals: list[tuple[int, int]] = []
    begun = 0

    async def process(ctx):
        nonlocal begun
        row = word = 0
        for cycle in range(40 + 6 * parts * len(words_in)):
            ctx.set(dut.i_credit, rng.random() < send)
            if row < len(rows):
                ctx.set(dut.i_row.valid, 1)
                ctx.set(dut.i_row.payload, {"maximum": rows[row][2], "keys": rows[row][1]})
            else:
                ctx.set(dut.i_row.valid, 0)
            ctx.set(dut.i.valid, word < len(words_in) and (send == 1.0 or rng.random() < send))
            if word < len(words_in):
                ctx.set(dut.i.payload, {"data": words_in[word][0], "last": words_in[word][1]})
            begun += ctx.get(dut.o_begun)
            if ctx.get(dut.o.valid):
                seen.append((cycle, ctx.get(dut.o.payload.data.as_value())))
            if ctx.get(dut.o_total.valid):
                seen_totals.append((cycle, ctx.get(dut.o_total.payload)))
            row += ctx.get(dut.i_row.valid & dut.i_row.ready)
            if ctx.get(dut.i.valid & dut.i.ready):
                taken.append(cycle)
                if words_in[word][1]:
                    row_ends.append(cycle)
                word += 1
            await ctx.tick()

    simulate(dut, process)
    assert begun == len(taken) == len(words_in)
    words_out = [
        (cycle + dut.LATENCY, word) for cycle, (word, _) in zip(taken, expected, strict=True)
    ]
    assert seen == words_out
    assert seen_totals == [
        (cycle + dut.total_latency, total) for cycle, total in zip(row_ends, totals, strict=True)
    ]
    if send == 1.0:
        assert taken == [taken[0] + parts * k for k in range(len(taken))]
