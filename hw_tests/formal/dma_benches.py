# SPDX-License-Identifier: Apache-2.0
"""What is proven of a memory port's bus, under any slave, any descriptors, any window and any
flush.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Mux, Signal

from hw_tests.formal.axi_rules import check_stable, counter, queue_invariant, stays
from hw_tests.formal.bench import Bench, Probe
from meadow.spec.config import BEAT_BYTES
from rtl_gen.dma.bursts import burst_layout, max_burst_beats
from rtl_gen.interfaces.dma import READ_DESCRIPTOR, WRITE_DESCRIPTOR

__all__ = ["credit_bench", "master_bench", "port_bench", "splitter_bench"]

_LOAD, _CHECK, _SIZE, _OFFER = range(4)
_PAGE_BEATS = 4096 // BEAT_BYTES


def splitter_bench(splitter: Any) -> Bench:
    """Bursts of a BurstSplitter: legal, inside the window, and together the descriptor beat for
    beat, in order.
    """
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
    kept = stays(bench, offered, waits, burst)
    bench.check("offer_stable", kept | splitter.flush)
    outside = splitter.outside.valid
    space = 1 << len(base) - 4
    over = (offset + beats > window) | (base[4:] + offset + beats > space)
    bench.check("outside", ~outside | (beats == 0) | over)
    bench.check("wraps", ~offered | (base[4:] + offset + beats <= space))
    bench.check("outside_none", ~outside | (done == 0))

    # What the registers mean, for the induction.
    remaining, end, address = (probe[name] for name in ("remaining", "end", "beat_address"))
    held = state != _LOAD
    top = probe["top"]
    bench.check("inv_top", ~bench.started | (top + base[4:] == space))
    bench.check("inv_early", bench.started | ~held)
    bench.check("inv_left", ~held | ((remaining == beats - done) & (done <= beats)))
    bench.check("inv_end", ~held | (end == offset + beats))
    bench.check("inv_address", ~held | (address == (base[4:] + place)[: len(address)]))
    beyond = probe["beyond"]
    inside = ((state == _SIZE) & ~beyond) | (state == _OFFER)
    refused = (state == _SIZE) & beyond
    bench.check("inv_refused", ~refused | ((done == 0) & ((beats == 0) | over)))
    bench.check("inv_offered", (state != _OFFER) | ~beyond)
    bench.check("inv_inside", ~inside | ((end <= window) & (end <= top) & (remaining != 0)))
    bench.check("inv_first", (state != _CHECK) | (done == 0))
    bench.check("inv_beats", (state != _OFFER) | ((burst.beats <= remaining) & (burst.beats != 0)))
    bench.cover("second_burst", offered & (done != 0) & burst.last)
    bench.cover("outside", outside)
    return bench


def port_bench(port: Any) -> Bench:
    """Handshakes of a MemoryPort's channels; every address is one burst that a splitter offered,
    once.

    That those bursts are the descriptor's is proven by `splitter_bench`.
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
        taken = bench.past(probe[f"{side}.issue"])
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


def _place(bench: Bench, probe: Probe, side: str, port: Any) -> Signal:
    """Beat of the window at which the burst on the bus begins, from the descriptor; checks what
    registers mean.
    """
    config, m = port.config, bench.m
    base, space = port.window_base[4:], 1 << len(port.window_base) - 4
    prefix = f"{side}.splitter."
    state, remaining, end, address = (
        probe[prefix + name] for name in ("fsm_state", "remaining", "end", "beat_address")
    )
    top = probe[prefix + "top"]
    bench.check(f"inv_{side}_top", ~bench.started | (top + base == space))
    bench.check(f"inv_{side}_early", bench.started | (state == _LOAD))
    descriptor = READ_DESCRIPTOR if side == "read" else WRITE_DESCRIPTOR
    burst = burst_layout(config)(probe[prefix + "o__payload"])
    beats, issue = burst.beats, probe[f"{side}.issue"]
    held, offered = state != _LOAD, state == _OFFER
    place, on_bus = Signal(33, name=f"{side}_place"), Signal(33, name=f"{side}_on_bus")
    with m.If(~held):
        m.d.sync += place.eq(descriptor(probe[f"{side}.descriptors.o__payload"]).offset)
    with m.If(issue):
        m.d.sync += [place.eq(place + beats), on_bus.eq(place)]
    bench.check(f"inv_{side}_address", ~held | (address == (base + place)[: len(address)]))
    bench.check(f"inv_{side}_end", ~held | (place + remaining == end))
    beyond = probe[prefix + "beyond"]
    inside = ((state == _SIZE) & ~beyond) | offered
    bench.check(f"inv_{side}_offered", ~offered | ~beyond)
    fits = (end <= port.window_beats) & (end <= top) & (remaining != 0)
    bench.check(f"inv_{side}_inside", ~inside | fits)
    sized = (beats != 0) & (beats <= remaining) & (burst.last == (beats == remaining))
    whole = (beats <= max_burst_beats(config)) & (address[:8] + beats <= _PAGE_BEATS)
    bench.check(f"inv_{side}_beats", ~offered | (sized & whole))
    return on_bus


def master_bench(port: Any) -> Bench:
    """Every address that a MemoryPort puts on its bus is a legal burst inside the window.

    Slave, descriptors, data, flush and the size of the window are free. Assumed is that the window
    stays and begins at a page. A burst of n beats at address a is inside it if there is a place p
    with a = base + 16 * p and p + n <= window_beats; a window that reaches over the end of the
    address space ends there.
    """
    config, axi = port.config, port.axi
    bench = Bench("master")
    probe = bench.add(port)
    base, window = port.window_base, port.window_beats
    bench.assume_stable(base, window)
    bench.assume(base[:12] == 0)
    for channel, side in (("ar", "read"), ("aw", "write")):
        place = _place(bench, probe, side, port)
        valid, address, length, size, burst = (
            getattr(axi, channel + name) for name in ("valid", "addr", "len", "size", "burst")
        )
        beats = length + 1
        bench.check(f"{channel}_place", ~valid | (address == base + (place << 4)))
        bench.check(f"{channel}_window", ~valid | (place + beats <= window))
        bench.check(f"{channel}_page", ~valid | (address[4:12] + beats <= _PAGE_BEATS))
        bench.check(f"{channel}_length", ~valid | (beats <= max_burst_beats(config)))
        aligned = (address[:4] == 0) & (burst == 1) & (Const(1, 9) << size == BEAT_BYTES)
        bench.check(f"{channel}_aligned", ~valid | aligned)
        # The end of a page inside the window cuts a burst short.
        cut = address[4:12] + beats == _PAGE_BEATS
        bench.cover(f"{channel}_cut", valid & cut & (place + beats < window))
    return bench


def credit_bench(port: Any) -> Bench:
    """Outstanding bursts are bounded, and there is a place for every beat on its way.

    Assumed of the slave: it answers only what was asked, with no more beats and bursts than that.
    Assumed of the splitters what `splitter_bench` proves: bursts of 1..max_burst_beats beats.
    """
    config, axi = port.config, port.axi
    limit = max(3, config.outstanding)
    bench = Bench("credit")
    probe = bench.add(port)
    for side in ("read", "write"):
        burst = burst_layout(config)(probe[f"{side}.splitter.o__payload"])
        legal = (burst.beats != 0) & (burst.beats <= max_burst_beats(config))
        bench.assume(~probe[f"{side}.splitter.o__valid"] | legal)
        queue_invariant(bench, f"{side}_in_flight", probe, f"{side}.in_flight", limit)
    queue_invariant(bench, "storage", probe, "read.storage", config.prefetch_beats)

    request, taken = axi.arvalid & axi.arready, axi.rvalid & axi.rready
    issue = probe["read.issue"]
    length = axi.arlen + 1
    beats = burst_layout(config)(probe["read.splitter.o__payload"]).beats
    due = counter(bench, "due", 16, Mux(issue, beats, 0), taken)
    asked = counter(bench, "asked", 16, Mux(request, length, 0), taken)
    reads = counter(bench, "reads", 8, request, taken & axi.rlast)
    bench.assume(~axi.rvalid | ((asked != 0) & (reads != 0)))
    bench.check("reads_bounded", reads <= limit)
    bench.check("inv_reads", reads + axi.arvalid == probe["read.in_flight.level"])
    bench.check("inv_asked", due == asked + Mux(axi.arvalid, length, 0))
    arriving, level = probe["read.taken_valid"], probe["read.storage.level"]
    bench.check("inv_credit", probe["read.free"] + due + arriving + level == config.prefetch_beats)
    bench.check("places", ~arriving | probe["read.storage.i__ready"])

    answered = axi.bvalid & axi.bready
    writes = counter(bench, "writes", 8, axi.awvalid & axi.awready, answered)
    bench.assume(~axi.bvalid | (writes != 0))
    bench.check("writes_bounded", writes <= limit)
    bench.check("inv_writes", writes + axi.awvalid == probe["write.in_flight.level"])
    bench.check("idle", ~port.idle | ((reads == 0) & (writes == 0) & ~axi.awvalid & ~axi.arvalid))
    bench.check("writes_pending", port.writes_pending | (writes == 0))
    bench.cover("two_reads", reads == 2)
    return bench
