# SPDX-License-Identifier: Apache-2.0
"""Delay lines: the number of registers, and the rule by its message."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, Signal

from hw_tests.streams import simulate
from rtl_gen.blocks.delay import delayed


@pytest.mark.parametrize("cycles", [1, 2, 5])
def test_delays_by_the_cycles_asked_for(cycles: int) -> None:
    m = Module()
    source, output = Signal(8), Signal(8)
    m.d.comb += output.eq(delayed(m, source, cycles, "value"))

    async def bench(ctx: Any) -> None:
        for now in range(20):
            ctx.set(source, 100 + now)
            assert ctx.get(output) == (100 + now - cycles if now >= cycles else 0)
            await ctx.tick()

    simulate(m, bench)


def test_no_cycles_is_the_source_itself() -> None:
    m, source = Module(), Signal(8)
    m._MustUse__silence = True
    assert delayed(m, source, 0, "value") is source


def test_refuses_to_look_ahead() -> None:
    m = Module()
    m._MustUse__silence = True
    with pytest.raises(ValueError, match="a delay must be 0 or more cycles, not -1 .early."):
        delayed(m, Signal(), -1, "early")
