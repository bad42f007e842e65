# SPDX-License-Identifier: Apache-2.0
"""No beat is lost, made up or out of place between a port's streams and its bus, for slaves that
keep to AXI.

Bounded. Descriptors are short and the window is at address 0 and large, because which addresses
come out is proven without bound in dma_benches. Of the data one bit is looked at: all bits take the
same way.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Mux, Signal, Value, ValueLike

from hw_tests.formal.bench import Bench
from hw_tests.formal.coloured import Coloured

__all__ = ["read_beats_bench", "read_descriptors_bench", "read_flush_bench", "write_bench"]

_LONGEST = 3
"""Beats of a descriptor here."""


class Lengths:
    """Lengths of bursts that are not finished: `head`, the oldest one's; `some`, there is one."""

    def __init__(self, bench: Bench, *, push: ValueLike, length: Value, pop: ValueLike) -> None:
        m, depth = bench.m, 4
        entries = [Signal(3, name=f"length{index}") for index in range(depth)]
        count = Signal(range(depth + 1), name="bursts")
        m.d.sync += count.eq(count + push - pop)
        with m.If(pop):
            m.d.sync += [entries[index].eq(entries[index + 1]) for index in range(depth - 1)]
        with m.If(push):
            m.d.sync += Array(entries)[(count - pop)[:2]].eq(length)
        self.head, self.some = entries[0], count != 0


def _short(bench: Bench, engine: Any, payload: Any) -> None:
    """Assumes descriptors (`payload`) that are short and inside the window."""
    bench.assume(engine.window_base == 0)
    bench.assume(engine.window_beats == 1 << 20)
    bench.assume((payload.offset[4:] == 0) & (payload.beats <= _LONGEST) & (payload.beats != 0))


def _flush(bench: Bench, engine: Any, idle: Value, allowed: bool) -> Signal:
    """Flush, if it comes, stays until idle; 1 from its begin on."""
    started = Signal(name="flush_started")
    bench.m.d.sync += started.eq(engine.flush | started)
    if allowed:
        over = bench.past(idle)
        bench.assume(engine.flush | ~bench.past(engine.flush) | over)
    else:
        bench.assume(~engine.flush)
    return started


def _reading(bench: Bench, engine: Any, *, flush: bool = False) -> Value:
    """Short descriptors and a slave that keeps to AXI; whether a beat arrives."""
    bench.add(engine)
    m, axi = bench.m, engine.axi
    _short(bench, engine, engine.i.payload)
    _flush(bench, engine, engine.idle, flush)
    request, arrives = axi.arvalid & axi.arready, axi.rvalid & axi.rready
    owed = Lengths(bench, push=request, length=(axi.arlen + 1)[:3], pop=arrives & axi.rlast)
    sent = Signal(3)
    with m.If(arrives):
        m.d.sync += sent.eq(Mux(axi.rlast, 0, sent + 1))
    bench.assume(~axi.rvalid | owed.some)
    bench.assume(axi.rlast == (sent + 1 == owed.head))
    bench.check("rready", axi.rready | ~owed.some)
    bench.check("idle", ~engine.idle | (~owed.some & ~axi.arvalid & ~axi.rready))
    return arrives


def read_flush_bench(engine: Any) -> Bench:
    """A ReadEngine that is flushed at any time: nothing comes out from the next cycle on, and it is
    idle only when the slave owes nothing.
    """
    bench = Bench("read_flush")
    arrives = _reading(bench, engine, flush=True)
    read = Signal()
    with bench.m.If(arrives):
        bench.m.d.sync += read.eq(1)
    bench.check("dropped", ~(bench.past(engine.flush) & engine.o.valid))
    bench.cover("flushed", read & engine.flush & engine.idle)
    return bench


def read_beats_bench(engine: Any) -> Bench:
    """Beats of a ReadEngine: as they came, in order, each once."""
    bench = Bench("read_beats")
    arrives = _reading(bench, engine)
    out = engine.o
    Coloured(
        bench,
        "beat",
        came=arrives,
        word=engine.axi.rdata[0],
        left=out.valid & out.ready,
        out=out.payload.data[0],
        empty=engine.idle,
    )
    return bench


def read_descriptors_bench(engine: Any) -> Bench:
    """Beats of a ReadEngine: as many as the descriptor says, together, with its route, `last` on
    its last one only.
    """
    bench = Bench("read_descriptors")
    _reading(bench, engine)
    m, out = bench.m, engine.o
    taken, leaves = engine.i.valid & engine.i.ready, out.valid & out.ready
    # One descriptor is marked by its route.
    mark = Value.cast(engine.i.payload.route)
    bench.assume(mark[1] == 0)
    marked, beats, seen = Signal(), Signal(3), Signal(3)
    with m.If(taken & mark[0]):
        m.d.sync += [marked.eq(1), beats.eq(engine.i.payload.beats)]
    bench.assume(~(taken & mark[0] & marked))
    inside = Signal()
    m.d.comb += inside.eq(Value.cast(out.payload.route)[0])
    with m.If(leaves & inside):
        m.d.sync += seen.eq(seen + 1)
    bench.check("marked", ~(out.valid & inside) | (marked & (seen < beats)))
    bench.check("last", ~(out.valid & inside) | (out.payload.last == (seen + 1 == beats)))
    bench.check("together", ~out.valid | inside | (seen == 0) | (seen == beats))
    bench.check("all", ~engine.idle | (seen == beats))
    bench.cover("two_bursts", (seen == _LONGEST) & engine.idle)
    return bench


def write_bench(engine: Any, *, flush: bool = False) -> Bench:
    """Beats of a WriteEngine: as they came, in order, each once, WLAST where the burst of its AW
    ends.
    """
    bench = Bench("write_flush" if flush else "write")
    bench.add(engine)
    m, axi = bench.m, engine.axi
    _short(bench, engine, engine.i.descriptor.payload)
    started = _flush(bench, engine, ~engine.pending, flush)
    sends = axi.wvalid & axi.wready
    ends = sends & axi.wlast
    appears = axi.awvalid & ~bench.past(axi.awvalid & ~axi.awready)
    open_ = Lengths(bench, push=appears, length=(axi.awlen + 1)[:3], pop=ends)
    sent = Signal(3)
    with m.If(sends):
        m.d.sync += sent.eq(Mux(axi.wlast, 0, sent + 1))
    bench.check("unasked", ~axi.wvalid | open_.some)
    bench.check("wlast", ~axi.wvalid | (axi.wlast == (sent + 1 == open_.head)))
    asked, written = Signal(3), Signal(3)  # AW and W of bursts without response
    answered = axi.bvalid & axi.bready
    m.d.sync += [
        asked.eq(asked + (axi.awvalid & axi.awready) - answered),
        written.eq(written + ends - answered),
    ]
    bench.assume(~axi.bvalid | ((asked != 0) & (written != 0)))
    closed = ~open_.some & (asked == 0) & (written == 0) & ~axi.awvalid & ~axi.wvalid
    bench.check("pending", engine.pending | closed)
    bench.check("bready", axi.bready | (asked == 0) | (written == 0))
    if flush:
        bench.cover("flushed", started & ~engine.pending & bench.past(answered))
        return bench

    data = engine.i.data
    # Data without a descriptor may wait; it is `pending` then.
    Coloured(
        bench,
        "beat",
        came=data.valid & data.ready,
        word=data.payload[0],
        left=sends,
        out=axi.wdata[0],
        empty=~engine.pending,
    )
    bench.check("strobes", ~axi.wvalid | axi.wstrb.all())
    bench.cover("two_bursts", ends & bench.past(ends))
    return bench
