# SPDX-License-Identifier: Apache-2.0
"""Element functions: modes that change every cycle, all at the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.writer.writer_bench import COMPUTED, WriterModel, join, small_config
from hw_tests.seeds import salted
from hw_tests.streams import put, simulate
from meadow.spec.numerics import TABLE_ENTRIES
from rtl_gen.writer.element_functions import ElementFunctions


@pytest.mark.parametrize("width", [16, 32])
def test_modes_change_every_cycle(width: int) -> None:
    rng = random.Random(salted(width))
    dut = ElementFunctions(config=small_config(width, 1))
    table = [rng.randrange(-32768, 32768) for _ in range(TABLE_ENTRIES)]
    model = WriterModel(width, [rng.getrandbits(8 * width) for _ in range(256)], table)
    words = [
        {"mode": rng.choice(COMPUTED), "shift": rng.randrange(1, 32)}
        | {"address": number, "operand": number, "data": rng.getrandbits(8 * width)}
        for number in range(200)
    ]
    outputs = []

    async def process(ctx):
        for address in range(2 * TABLE_ENTRIES // width):
            entries = table[address * width // 2 :][: width // 2]
            await put(ctx, dut.i_table, {"address": address, "data": join(entries)})
        while ctx.get(dut.table_busy):
            await ctx.tick()
        for cycle in range(len(words) + dut.LATENCY):
            if cycle >= dut.LATENCY:
                outputs.append(ctx.get(dut.o))
            word = words[min(cycle, len(words) - 1)]
            for port, name in (
                (dut.i_data, "data"),
                (dut.i_mode, "mode"),
                (dut.i_shift, "shift"),
            ):
                ctx.set(port, word[name])
            read = max(0, min(cycle - dut.OPERAND_DELAY, len(words) - 1))
            ctx.set(dut.i_read, model.content[words[read]["address"]])
            await ctx.tick()

    simulate(dut, process)
    assert outputs == [join(model.elements_of(word)) for word in words]
