# SPDX-License-Identifier: Apache-2.0
"""Two sources of faults into one, the first with priority."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.error import fault_layout

__all__ = ["FaultMerge"]


class FaultMerge(wiring.Component):
    """o = i_first where there is one; a fault of i_second that comes with it waits for the first
    cycle without.

    A read of commands may be no error at all, so it must not hide another fault for good. Of
    several faults that wait only the first is kept: the program ends with it.

    Parameters
    ----------
    config: the width of addresses.

    Members
    -------
    i_first, i_second: In streams of fault_layout without back-pressure.
    o: Out stream of fault_layout without back-pressure.
    waits: Out(1), a fault of i_second is held.

    Latency: none, or until a cycle without i_first.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        faults = stream.Signature(fault_layout(config), always_ready=True)
        super().__init__(
            {"i_first": In(faults), "i_second": In(faults), "o": Out(faults), "waits": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = data.StructLayout({"valid": 1, "fault": fault_layout(self._config)})
        waiting = Signal(layout)
        second = Signal(layout)
        m.d.comb += [
            second.valid.eq(self.i_second.valid),
            second.fault.eq(self.i_second.payload),
            self.waits.eq(waiting.valid),
        ]
        with m.If(self.i_first.valid):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(self.i_first.payload)]
            with m.If(~waiting.valid):
                m.d.sync += waiting.eq(second)
        with m.Elif(waiting.valid):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(waiting.fault)]
            m.d.sync += waiting.eq(second)
        with m.Else():
            m.d.comb += [self.o.valid.eq(second.valid), self.o.payload.eq(second.fault)]
        return m
