# SPDX-License-Identifier: Apache-2.0
"""Two sources of faults into one, the first with priority."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value

__all__ = ["merge_faults"]


def merge_faults(m: Module, first: Any, second: Any, o: Any) -> Value:
    """Streams of fault_layout without back-pressure: o = first where there is one; a fault of
    `second` that comes with it waits for the first cycle without.

    A read of commands may be no error at all, so it must not hide another fault for good. Of
    several faults that wait only the first is kept: the program ends with it.

    Returns whether a fault of `second` waits.
    """
    waits = Signal(name="fault_waits")
    waiting = Signal(o.payload.shape(), name="waiting_fault", reset_less=True)
    later = [waits.eq(second.valid), waiting.eq(second.payload)]
    with m.If(first.valid):
        m.d.comb += [o.valid.eq(1), o.payload.eq(first.payload)]
        with m.If(~waits):
            m.d.sync += later
    with m.Elif(waits):
        m.d.comb += [o.valid.eq(1), o.payload.eq(waiting)]
        m.d.sync += later
    with m.Else():
        m.d.comb += [o.valid.eq(second.valid), o.payload.eq(second.payload)]
    return waits
