# SPDX-License-Identifier: Apache-2.0
"""StreamMerge keeps the order of each input and loses nothing under random stalls."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from hw_tests.seeds import salted
from rtl_gen.blocks.merge import StreamMerge


@pytest.mark.parametrize(("offer", "take"), [(1.0, 1.0), (0.4, 1.0), (1.0, 0.4), (0.5, 0.5)])
def test_order_and_stability(offer: float, take: float) -> None:
    dut = StreamMerge(shape=16)
    chance = random.Random(salted(7))
    sources = [list(range(100)), list(range(1000, 1100))]
    received: list[int] = []

    async def bench(ctx) -> None:
        offered = [False, False]
        previous = None
        for _ in range(3000):
            for index, port in enumerate((dut.i_first, dut.i_second)):
                offered[index] |= bool(sources[index]) and chance.random() < offer
                ctx.set(port.valid, offered[index])
                if offered[index]:
                    ctx.set(port.payload, sources[index][0])
            ctx.set(dut.o.ready, chance.random() < take)
            if ctx.get(dut.o.valid):
                payload = ctx.get(dut.o.payload)
                assert previous in (None, payload)
                previous = payload
                if ctx.get(dut.o.ready):
                    received.append(payload)
                    previous = None
            else:
                assert previous is None
            for index, port in enumerate((dut.i_first, dut.i_second)):
                if offered[index] and ctx.get(port.ready):
                    sources[index].pop(0)
                    offered[index] = False
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert [value for value in received if value < 1000] == list(range(100))
    assert [value for value in received if value >= 1000] == list(range(1000, 1100))
