# SPDX-License-Identifier: Apache-2.0
"""The rows of each port, and multiples without a multiplier."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module, Signal, Value

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.dma.port_rows import PortShares, multiples, run_rows

_BITS = 9


@pytest.mark.parametrize("ports", [1, 2, 4])
def test_every_row_is_of_one_port(ports: int) -> None:
    """Runs of equal length, the last ones shorter; their first rows come LATENCY - 1 cycles before
    their lengths.
    """
    rng = random.Random(salted(ports))
    m = Module()
    m.submodules.dut = dut = PortShares(bits=_BITS, ports=ports)
    rows = Signal(_BITS)
    m.d.comb += [dut.total.eq(rows), dut.run.eq(run_rows(rows, ports))]

    async def bench(ctx):
        counts = [*range(20), (1 << _BITS) - 1, *(rng.randrange(1 << _BITS) for _ in range(30))]
        for count in counts:
            whole = rng.randrange(2)
            ctx.set(rows, count)
            ctx.set(dut.whole, whole)
            await ctx.tick().repeat(PortShares.FIRST_LATENCY)
            first = [ctx.get(first) for first in dut.first]
            await ctx.tick().repeat(PortShares.LATENCY - PortShares.FIRST_LATENCY)
            length = [ctx.get(length) for length in dut.count]
            if whole:
                assert first == [0] * ports and length == [count] * ports
                continue
            moved = [range(at, at + some) for at, some in zip(first, length, strict=True)]
            assert [row for part in moved for row in part] == list(range(count))
            run = -(-count // ports)
            assert first == [port * run for port in range(ports)]
            assert all(some == run for some in length[: count // max(1, run)])

    simulate(m, bench)


def test_runs_of_beats() -> None:
    """Rows of several beats: shares of all beats are those of the rows."""
    ports, beats = 4, 13
    m = Module()
    m.submodules.dut = dut = PortShares(bits=16, ports=ports)

    async def bench(ctx):
        for rows in range(40):
            run = -(-rows // ports)
            ctx.set(dut.total, rows * beats)
            ctx.set(dut.run, run * beats)
            await ctx.tick().repeat(PortShares.LATENCY)
            want = [beats * min(run, max(0, rows - port * run)) for port in range(ports)]
            assert [ctx.get(count) for count in dut.count] == want

    simulate(m, bench)


def test_multiples_come_a_cycle_later() -> None:
    m = Module()
    value = Signal(7)
    products = [Value.cast(product) for product in multiples(m, value, 4, "product")]

    async def bench(ctx):
        for number in (0, 1, 77, 127):
            ctx.set(value, number)
            await ctx.tick()
            assert [ctx.get(product) for product in products] == [
                port * number for port in range(4)
            ]

    simulate(m, bench)
