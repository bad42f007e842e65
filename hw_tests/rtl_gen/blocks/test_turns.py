# SPDX-License-Identifier: Apache-2.0
"""Streams that take turns: order, fairness, and that none transfers when the register is taken."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream

from hw_tests.seeds import salted
from hw_tests.streams import Source, Stalls, simulate
from rtl_gen.blocks.turns import take_turns


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(("producer", "consumer"), [(0.0, 0.0), (0.6, 0.0), (0.3, 0.5)])
def test_the_one_behind_the_last_goes_first(count: int, producer: float, consumer: float) -> None:
    rng = random.Random(salted(f"{count} {producer} {consumer}"))
    m = Module()
    ports = [stream.Signature(8).create(path=(f"port{index}",)) for index in range(count)]
    free = Signal()
    chosen = take_turns(m, ports, free)
    sources = [Source(port, range(100), Stalls(producer, rng)) for port in ports]
    order: list[int] = []

    async def bench(ctx) -> None:
        first = 0
        while all(source.payloads for source in sources):
            for source in sources:
                source.drive(ctx)
            ctx.set(free, rng.random() >= consumer)
            turns = [(first + index) % count for index in range(count)]
            offered = [port for port in turns if ctx.get(ports[port].valid)]
            expected = offered[:1] if ctx.get(free) else []
            assert ctx.get(chosen) == sum(1 << port for port in offered[:1])
            assert [index for index, source in enumerate(sources) if source.settle(ctx)] == expected
            order.extend(expected)
            if expected:
                first = (expected[0] + 1) % count
            await ctx.tick()

    simulate(m, bench)
    if producer == 0.0:
        assert order == [index % count for index in range(len(order))]
    assert len(order) >= 100
