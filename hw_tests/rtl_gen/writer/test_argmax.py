# SPDX-License-Identifier: Apache-2.0
"""Latency of the arg-max and its forwarding; modes and stalls are tested with the writer."""

from __future__ import annotations

import pytest

from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.writer.argmax import ArgMax


@pytest.mark.parametrize("name", ["tiny", "small", "zcu102"])
@pytest.mark.parametrize("early", [1, 0])
def test_latency_of_a_candidate(name: str, early: int) -> None:
    """A read presented `latency` cycles after the word sees it, one cycle earlier does not."""
    dut = ArgMax(config=CONFIGURATIONS[name])

    async def process(ctx):
        word = {"row": 3, "channel": 70, "elements": 2, "restart": 1, "data": 9 << 16 | 4}
        ctx.set(dut.i.payload, word)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(dut.latency - early - 1):
            assert ctx.get(dut.busy)
            await ctx.tick()
        ctx.set(dut.i_row, 3)
        await ctx.tick()
        ctx.set(dut.i_row, 0)
        assert not ctx.get(dut.busy)
        await ctx.tick().repeat(dut.READ_LATENCY - 1)
        expected = (0, 0) if early else (9, 71)
        assert (ctx.get(dut.o.value), ctx.get(dut.o.index)) == expected

    simulate(dut, process)
