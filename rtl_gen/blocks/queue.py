# SPDX-License-Identifier: Apache-2.0
"""First-in first-out buffer between two streams."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]


class Queue(wiring.Component):
    """A queue of `depth` payloads with a registered output; order is kept, nothing is lost.

    Parameters
    ----------
    shape: of the payload.
    depth: payloads, 3 or more, the output register included.

    Members
    -------
    i: In stream of `shape`.
    o: Out stream of `shape`; the payload comes from the storage's output register.
    level: payloads held, unsigned, 0..depth.

    Latency: `latency` cycles from a transfer at `i` into an empty queue to `o.valid`. Throughput:
    one payload per cycle. Back-pressure: `i.ready` falls when full; it does not depend on `o.ready`
    within the cycle. ValueError for a depth below 3, which could not carry one payload per cycle.
    """

    latency = 2

    def __init__(self, *, shape: ShapeLike, depth: int) -> None:
        if depth < 3:
            raise ValueError(f"a queue holds at least 3 payloads, not {depth}")
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, sink = Value.cast(self.i.payload), Value.cast(self.o.payload)
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=len(source), depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(source),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            sink.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.level.eq(queue.level),
        ]
        return m
