# SPDX-License-Identifier: Apache-2.0
"""First-in first-out buffer whose payload comes straight from distributed RAM."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["ShortQueue"]

_LARGEST_DEPTH = 64
"""That of a distributed RAM without multiplexers."""


class ShortQueue(wiring.Component):
    """A queue of `depth` payloads without a register at its output; order is kept, nothing is lost.

    For wide payloads that are registered behind little logic in the same unit: a direct Queue of
    this latency spends a LUT on each bit for a payload that finds it empty. `o.valid` is a
    register.

    Parameters
    ----------
    shape: of the payload.
    depth: payloads, 2 to 64.

    Members
    -------
    i: In stream of `shape`.
    o: Out stream of `shape`.

    Latency: `latency` cycle from a transfer at `i` into an empty queue to `o.valid`. Throughput:
    one payload per cycle. Back-pressure: `i.ready` falls when full; it does not depend on `o.ready`
    within the cycle. ValueError for another depth.
    """

    latency = 1

    def __init__(self, *, shape: ShapeLike, depth: int) -> None:
        if not 2 <= depth <= _LARGEST_DEPTH:
            raise ValueError(f"a short queue holds 2 to {_LARGEST_DEPTH} payloads, not {depth}")
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = Value.cast(self.i.payload)
        m.submodules.storage = storage = Memory(
            shape=len(source),
            depth=self.depth,
            init=[],
            attrs={"ram_style": "distributed"},
        )
        write = storage.write_port()
        read = storage.read_port(domain="comb")
        held = Signal(range(self.depth + 1))
        some = Signal()
        full = Signal()
        put, get = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        for place, moves, port in (("last", put, write), ("first", get, read)):
            index = Signal(range(self.depth), name=f"{place}_place")
            with m.If(moves):
                m.d.sync += index.eq(Mux(index == self.depth - 1, 0, index + 1))
            m.d.comb += port.addr.eq(index)
        m.d.comb += [
            write.data.eq(source),
            write.en.eq(put),
            self.i.ready.eq(~full),
            self.o.valid.eq(some),
            Value.cast(self.o.payload).eq(read.data),
        ]
        with m.If(put & ~get):
            m.d.sync += [held.eq(held + 1), some.eq(1), full.eq(held == self.depth - 1)]
        with m.Elif(get & ~put):
            m.d.sync += [held.eq(held - 1), some.eq(held != 1), full.eq(0)]
        return m
