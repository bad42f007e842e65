# SPDX-License-Identifier: Apache-2.0
"""Two streams into one, the first with priority."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.payload import payload_register

__all__ = ["StreamMerge"]


class StreamMerge(wiring.Component):
    """o = i_first when it is valid, else i_second, through one register.

    Parameters
    ----------
    shape: of the payload.

    Members
    -------
    i_first, i_second: In streams of `shape`.
    o: Out stream of `shape`.

    Latency: LATENCY cycles. Throughput: one transfer per cycle. Back-pressure: ready of both inputs
    depends on o.ready; the registered output stays stable until taken, although the choice is made
    anew for every transfer.
    """

    LATENCY = 1

    def __init__(self, *, shape: ShapeLike) -> None:
        self._shape = shape
        super().__init__(
            {
                "i_first": In(stream.Signature(shape)),
                "i_second": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        free = Signal()
        payload = payload_register(m, self.o.payload, "payload")
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            self.i_first.ready.eq(free),
            self.i_second.ready.eq(free & ~self.i_first.valid),
        ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(self.i_first.valid | self.i_second.valid)
            with m.If(self.i_first.valid):
                m.d.sync += payload.eq(self.i_first.payload)
            with m.Else():
                m.d.sync += payload.eq(self.i_second.payload)
        return m
