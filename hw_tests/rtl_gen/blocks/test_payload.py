# SPDX-License-Identifier: Apache-2.0
"""A payload register follows what it is given a cycle later, and a reset leaves it alone."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, ResetInserter, ShapeLike, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw_tests.streams import simulate
from rtl_gen.blocks.payload import payload_register


class _Kind(enum.Enum, shape=3):
    NONE = 0
    LAST = 5


class _Source(wiring.Component):
    """o = i, a cycle later."""

    def __init__(self, shape: ShapeLike) -> None:
        payload = stream.Signature(shape, always_ready=True)
        super().__init__({"i": In(payload), "o": Out(payload)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = payload_register(m, self.o.payload, "payload")
        m.d.sync += [self.o.valid.eq(self.i.valid), payload.eq(self.i.payload)]
        return m


class _InReset(wiring.Component):
    """`_Source` with a reset that can be set."""

    def __init__(self, shape: ShapeLike) -> None:
        self.part = _Source(shape)
        super().__init__({"reset": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reset = Signal()
        m.d.comb += reset.eq(self.reset)
        m.submodules.part = ResetInserter(reset)(self.part)
        return m


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        (7, (100, 3)),
        (data.StructLayout({"low": 4, "high": 4}), ({"low": 1, "high": 15}, {"low": 2, "high": 0})),
        (_Kind, (_Kind.LAST, _Kind.NONE)),
    ],
    ids=["value", "view", "enumeration"],
)
def test_reset_clears_the_strobe_and_not_the_payload(shape: Any, values: tuple) -> None:
    dut = _InReset(shape)
    i, o = dut.part.i, dut.part.o

    async def bench(ctx: Any) -> None:
        ctx.set(i.valid, 1)
        for value in values:
            ctx.set(i.payload, value)
            await ctx.tick()
            assert ctx.get(o.valid)
            shown = ctx.get(o.payload)
            assert shown == (ctx.get(i.payload) if isinstance(value, dict) else value)
        ctx.set(dut.reset, 1)
        ctx.set(i.payload, values[0])
        await ctx.tick()
        assert not ctx.get(o.valid) and ctx.get(o.payload) == ctx.get(i.payload)

    simulate(dut, bench)
