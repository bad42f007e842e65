# SPDX-License-Identifier: Apache-2.0
"""Splitting of a descriptor into AXI4 bursts."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.dma import LENGTH_BITS, OFFSET_BITS

__all__ = ["BurstSplitter", "burst_layout", "max_burst_beats", "place_layout"]

_PAGE_BEATS = 4096 // BEAT_BYTES
_BEAT_LOG2 = BEAT_BYTES.bit_length() - 1


def max_burst_beats(config: AcceleratorConfig) -> int:
    """Longest burst: 64 beats, but a quarter of the prefetch storage, so that several can be in
    flight.
    """
    return min(64, config.prefetch_beats // 4)


def burst_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One burst.

    address: byte address of its first beat.
    beats: 1..64.
    last: it is the last burst of its descriptor.
    route, traffic, command: of the descriptor.
    """
    return data.StructLayout(
        {
            "address": config.address_bits,
            "beats": 7,
            "last": 1,
            "route": 2,
            "traffic": 3,
            "command": INDEX_BITS,
        }
    )


def place_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where something happened.

    address: byte address of the first beat of a descriptor or burst.
    command: index of the command that it belongs to.
    """
    return data.StructLayout({"address": config.address_bits, "command": INDEX_BITS})


class BurstSplitter(wiring.Component):
    """INCR bursts of a descriptor, in ascending order: burst = min(remaining, max_burst_beats,
    beats to the 4 KiB end).

    byte address = window_base + 16*offset. A descriptor without beats, with offset + beats >
    window_beats, or that ends above 2^address_bits, which a window may not do but could be told to,
    gives no burst but one `outside` pulse with its first byte address (modulo 2^address_bits) and
    its command.

    Parameters
    ----------
    config: the width of addresses, and the longest burst.
    shape: READ_DESCRIPTOR or WRITE_DESCRIPTOR; route is 0 for the latter.

    Members
    -------
    i: In stream of `shape`.
    o: Out stream of burst_layout.
    window_base: In, byte address, 4 KiB aligned, stable from 2 cycles before a descriptor on.
    window_beats: In(OFFSET_BITS), likewise.
    flush: In, descriptors are accepted and dropped, and no further burst is offered (o.valid falls
        at once).
    outside: Out stream of place_layout without back-pressure. The next descriptor is taken in the
        cycle after it: a user that gives up because of it sets `flush` within 4 cycles, so that
        none of its bursts is offered.
    idle: Out, no descriptor is held.

    Latency: `latency` cycles from a descriptor to its first burst. Throughput: one burst per 2
    cycles, and 2 cycles more per descriptor, so descriptors of 4 beats and more can keep the data
    channel full.
    """

    latency = 3

    def __init__(self, *, config: AcceleratorConfig, shape: data.StructLayout) -> None:
        self.config = config
        self.shape = shape
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(burst_layout(config))),
                "window_base": In(config.address_bits),
                "window_beats": In(OFFSET_BITS),
                "flush": In(1),
                "outside": Out(stream.Signature(place_layout(config), always_ready=True)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        limit = max_burst_beats(self.config)
        source = self.i.payload
        burst = self.o.payload
        beats_of_burst = payload_register(m, burst.beats, "beats_of_burst")
        last = payload_register(m, burst.last, "last")
        route = payload_register(m, burst.route, "route")
        traffic = payload_register(m, burst.traffic, "traffic")
        command = payload_register(m, burst.command, "command")
        beat_address = Signal(self.config.address_bits - _BEAT_LOG2, reset_less=True)
        end = Signal(OFFSET_BITS + 1, reset_less=True)
        # Beats from the window base to the end of the address space.
        top = Signal(len(beat_address) + 1, reset_less=True)
        wrong = Signal()
        # Or without beats; registered, as both comparisons are wide.
        beyond = Signal(reset_less=True)
        remaining = Signal(LENGTH_BITS, reset_less=True)
        page_beats = Signal(range(_PAGE_BEATS + 1))
        short = Signal(range(limit + 1))
        beats = Signal(range(limit + 1))
        m.d.comb += [
            page_beats.eq(_PAGE_BEATS - beat_address[: (_PAGE_BEATS - 1).bit_length()]),
            short.eq(Mux(page_beats < limit, page_beats, limit)),
            beats.eq(Mux(remaining < short, remaining, short)),
            burst.address.eq(beat_address << _BEAT_LOG2),
            self.outside.payload.address.eq(beat_address << _BEAT_LOG2),
            self.outside.payload.command.eq(burst.command),
            wrong.eq((end > self.window_beats) | (remaining == 0)),
        ]
        m.d.sync += top.eq((1 << len(beat_address)) - self.window_base[_BEAT_LOG2:])
        with m.FSM() as fsm:
            with m.State("LOAD"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    beat_address.eq(self.window_base[_BEAT_LOG2:] + source.offset),
                    end.eq(source.offset + source.beats),
                    remaining.eq(source.beats),
                    traffic.eq(source.traffic),
                    command.eq(source.command),
                ]
                if "route" in self.shape.members:
                    m.d.sync += route.eq(source.route)
                with m.If(self.i.valid & ~self.flush):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += beyond.eq(wrong | (end > top))
                m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += [beats_of_burst.eq(beats), last.eq(remaining <= short)]
                with m.If(beyond):
                    m.d.comb += self.outside.valid.eq(~self.flush)
                    m.next = "LOAD"
                with m.Else():
                    m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.o.valid.eq(~self.flush)
                with m.If(self.flush):
                    m.next = "LOAD"
                with m.Elif(self.o.ready):
                    m.d.sync += [
                        beat_address.eq(beat_address + burst.beats),
                        remaining.eq(remaining - burst.beats),
                    ]
                    with m.If(burst.last):
                        m.next = "LOAD"
                    with m.Else():
                        m.next = "SIZE"
        m.d.comb += self.idle.eq(fsm.ongoing("LOAD"))
        return m
