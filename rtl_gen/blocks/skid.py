# SPDX-License-Identifier: Apache-2.0
"""Register slice: cuts every combinational path between two streams."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Skid"]


class Skid(wiring.Component):
    """Two payload registers; `i.ready` and `o.valid` both come from registers.

    Parameters
    ----------
    shape: of the payload.

    Members
    -------
    i: In stream of `shape`.
    o: Out stream of `shape`.
    empty: Out(1), nothing is held.

    Latency: `latency` cycle. Throughput: one payload per cycle. Back-pressure: after `o.ready`
    falls one more payload is taken, into the spare register.
    """

    latency = 1

    def __init__(self, *, shape: ShapeLike) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, sink = Value.cast(self.i.payload), Value.cast(self.o.payload)
        spare = Signal(len(source), reset_less=True)
        held = Signal(len(source), reset_less=True)
        spare_valid = Signal()
        m.d.comb += [
            self.i.ready.eq(~spare_valid),
            sink.eq(held),
            self.empty.eq(~self.o.valid & ~spare_valid),
        ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | spare_valid),
                spare_valid.eq(0),
            ]
            with m.If(spare_valid):
                m.d.sync += held.eq(spare)
            with m.Else():
                m.d.sync += held.eq(source)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [spare.eq(source), spare_valid.eq(1)]
        return m
