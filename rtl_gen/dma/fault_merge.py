# SPDX-License-Identifier: Apache-2.0
"""Two sources of faults into one, the first with priority."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

__all__ = ["merge_faults"]


def merge_faults(m: Module, first: Any, second: Any, o: Any) -> Value:
    """Streams of fault_layout without back-pressure: o = first where there is one; a fault of
    `second` that comes with it waits for the first cycle without.

    A read of commands may be no error at all, so it must not hide another fault for good. Of
    several faults that wait only the first is kept: the program ends with it.

    Returns whether a fault of `second` waits.
    """
    layout = data.StructLayout({"valid": 1, "fault": o.payload.shape()})
    waiting = Signal(layout, name="waiting_fault")
    later = [waiting.valid.eq(second.valid), waiting.fault.eq(second.payload)]
    with m.If(first.valid):
        m.d.comb += [o.valid.eq(1), o.payload.eq(first.payload)]
        with m.If(~waiting.valid):
            m.d.sync += later
    with m.Elif(waiting.valid):
        m.d.comb += [o.valid.eq(1), o.payload.eq(waiting.fault)]
        m.d.sync += later
    with m.Else():
        m.d.comb += [o.valid.eq(second.valid), o.payload.eq(second.payload)]
    return waiting.valid
