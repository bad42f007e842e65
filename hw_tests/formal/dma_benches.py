# SPDX-License-Identifier: Apache-2.0
"""What is proven of a memory port's bus, under any slave, any descriptors, any window and any flush."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Mux, Signal

from hw_tests.formal.axi_rules import check_stable, counter, queue_invariant, stays
from hw_tests.formal.bench import Bench
from meadow.spec.config import BEAT_BYTES
from rtl_gen.dma.bursts import burst_layout, max_burst_beats

__all__ = ["credit_bench", "port_bench", "splitter_bench"]

_LOAD, _CHECK, _SIZE, _OFFER = range(4)
_PAGE_BEATS = 4096 // BEAT_BYTES


def splitter_bench(splitter: Any) -> Bench:
    """Bursts of a BurstSplitter: legal, inside the window, and together the descriptor beat for beat, in order."""
    config = splitter.config
    bench = Bench("splitter")
    probe = bench.add(splitter)
    m, burst, source = bench.m, splitter.o.payload, splitter.i.payload
    base, window = splitter.window_base, splitter.window_beats
    bench.assume_stable(base, window)
    bench.assume(base[:12] == 0)

    state = probe["fsm_state"]
    done = Signal(28)  # beats of the descriptor in the bursts that were taken
    offset, beats = Signal(32), Signal(28)
    with m.If(splitter.i.valid & splitter.i.ready):
        m.d.sync += [done.eq(0), offset.eq(source.offset), beats.eq(source.beats)]
    with m.If(splitter.o.valid & splitter.o.ready):
        m.d.sync += done.eq(done + burst.beats)
    place = Signal(33)
    m.d.comb += place.eq(offset + done)
    offered = splitter.o.valid

    # In the order of the window: first the parts of an address, then their sum.
    bench.check("within", ~offered | (done + burst.beats <= beats))
    bench.check("window", ~offered | (offset + beats <= window))
    bench.check("address", ~offered | (burst.address == (base + (place << 4))[: len(base)]))
    bench.check("kind", ~offered | ((burst.beats != 0) & (burst.beats <= max_burst_beats(config))))
    bench.check("page", ~offered | (burst.address[4:12] + burst.beats <= _PAGE_BEATS))
    bench.check("last", ~offered | (burst.last == (done + burst.beats == beats)))
    waits = splitter.o.ready | splitter.flush
    names = ("address", "beats", "last", "route", "traffic")
    kept = stays(bench, offered, waits, *(burst[name] for name in names))
    bench.check("offer_stable", kept | splitter.flush)
    outside = splitter.outside.valid
    bench.check("outside", ~outside | (beats == 0) | (offset + beats > window))
    bench.check("outside_none", ~outside | (done == 0))

    # What the registers mean, for the induction.
    remaining, end, address = (probe[name] for name in ("remaining", "end", "beat_address"))
    held = state != _LOAD
    bench.check("inv_left", ~held | ((remaining == beats - done) & (done <= beats)))
    bench.check("inv_end", ~held | (end == offset + beats))
    bench.check("inv_address", ~held | (address == (base[4:] + place)[: len(address)]))
    inside = (state == _SIZE) | (state == _OFFER)
    bench.check("inv_inside", ~inside | ((end <= window) & (remaining != 0)))
    bench.check("inv_first", (state != _CHECK) | (done == 0))
    bench.check("inv_beats", (state != _OFFER) | ((burst.beats <= remaining) & (burst.beats != 0)))
    bench.cover("second_burst", offered & (done != 0) & burst.last)
    bench.cover("outside", outside)
    return bench


def port_bench(port: Any) -> Bench:
    """Handshakes of a MemoryPort's channels; every address is one burst that a splitter offered, once.

    That those bursts are legal is proven by `splitter_bench`.
    """
    config, axi = port.config, port.axi
    bench = Bench("port")
    probe = bench.add(port)
    bench.assume_stable(port.window_base, port.window_beats)
    bench.assume(port.window_base[:12] == 0)
    for channel, side in (("aw", "write"), ("ar", "read")):
        names = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos")
        check_stable(bench, channel, axi, *names)
        valid, address, length, size, burst = (
            getattr(axi, channel + name) for name in ("valid", "addr", "len", "size", "burst")
        )
        offer = burst_layout(config)(probe[f"{side}.splitter.o__payload"])
        taken = bench.past(probe[f"{side}.flying.w_en"])
        held = bench.past(valid & ~getattr(axi, f"{channel}ready"))
        bench.check(f"{channel}_once", (valid == (taken | held)) & ~(taken & held))
        bench.check(
            f"{channel}_offered",
            ~taken
            | (
                (address == bench.past(offer.address))
                & (length == bench.past((offer.beats - 1)[:8]))
            ),
        )
        bench.check(f"{channel}_kind", (burst == 1) & (Const(1, 9) << size == BEAT_BYTES))
    check_stable(bench, "w", axi, "data", "strb", "last")
    bench.cover("ar", axi.arvalid & axi.arready)
    bench.cover("w", axi.wvalid & axi.wready)
    return bench


def credit_bench(port: Any) -> Bench:
    """Outstanding bursts are bounded, and there is room for every beat on its way.

    Assumed of the slave: it answers only what was asked, with no more beats and bursts than that. Assumed of the
    splitters what `splitter_bench` proves: bursts of 1..max_burst_beats beats.
    """
    config, axi = port.config, port.axi
    limit = max(3, config.outstanding)
    bench = Bench("credit")
    probe = bench.add(port)
    for side in ("read", "write"):
        burst = burst_layout(config)(probe[f"{side}.splitter.o__payload"])
        legal = (burst.beats != 0) & (burst.beats <= max_burst_beats(config))
        bench.assume(~probe[f"{side}.splitter.o__valid"] | legal)
        queue_invariant(bench, f"{side}_flying", probe, f"{side}.flying", limit)
    queue_invariant(bench, "storage", probe, "read.storage", config.prefetch_beats)

    request, taken = axi.arvalid & axi.arready, axi.rvalid & axi.rready
    issue = probe["read.flying.w_en"]
    length = axi.arlen + 1
    beats = burst_layout(config)(probe["read.splitter.o__payload"]).beats
    due = counter(bench, "due", 16, Mux(issue, beats, 0), taken)
    asked = counter(bench, "asked", 16, Mux(request, length, 0), taken)
    reads = counter(bench, "reads", 8, request, taken & axi.rlast)
    bench.assume(~axi.rvalid | ((asked != 0) & (reads != 0)))
    bench.check("reads_bounded", reads <= limit)
    bench.check("inv_reads", reads + axi.arvalid == probe["read.flying.level"])
    bench.check("inv_asked", due == asked + Mux(axi.arvalid, length, 0))
    arriving, level = probe["read.storage.w_en"], probe["read.storage.level"]
    bench.check("inv_credit", probe["read.free"] + due + arriving + level == config.prefetch_beats)
    bench.check("room", ~arriving | probe["read.storage.i__ready"])

    answered = axi.bvalid & axi.bready
    writes = counter(bench, "writes", 8, axi.awvalid & axi.awready, answered)
    bench.assume(~axi.bvalid | (writes != 0))
    bench.check("writes_bounded", writes <= limit)
    bench.check("inv_writes", writes + axi.awvalid == probe["write.flying.level"])
    bench.check("idle", ~port.idle | ((reads == 0) & (writes == 0) & ~axi.awvalid & ~axi.arvalid))
    bench.check("writes_pending", port.writes_pending | (writes == 0))
    bench.cover("two_reads", reads == 2)
    return bench
