# SPDX-License-Identifier: Apache-2.0
"""Write half of a memory port: descriptors and their data in, responses counted."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.registers import ErrorCode
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.skid import Skid
from rtl_gen.dma.bursts import BurstSplitter, burst_layout, place_layout
from rtl_gen.interfaces.axi import Axi4WriteSignature
from rtl_gen.interfaces.dma import (
    BEAT_BITS,
    OFFSET_BITS,
    TRAFFIC_BEAT,
    WRITE_DESCRIPTOR,
    WriteSignature,
)
from rtl_gen.interfaces.error import fault_layout

__all__ = ["WriteEngine"]

_DESCRIPTORS = 4
_ALL_BYTES = (1 << BEAT_BYTES) - 1


def _data_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What the W channel needs of a burst."""
    burst = burst_layout(config)
    return data.StructLayout({name: burst[name].shape for name in ("beats", "traffic", "command")})


class WriteEngine(wiring.Component):
    """Writes descriptors beat by beat through the AW, W and B channels; W data follows the order of
    the AW bursts.

    Parameters
    ----------
    config: the configuration.

    Members
    -------
    i: In(WriteSignature).
    axi: Out(Axi4WriteSignature).
    window_base, window_beats: In, see BurstSplitter.
    flush: In, drop descriptors and data; the beats that AXI still demands for requested bursts go
        out with all strobes 0.
    pending: Out, a descriptor, data or a response is outstanding.
    fault: Out stream of fault_layout without back-pressure: WRITE_RESPONSE (address of the burst)
        or, if not in the same cycle, WINDOW: the descriptor is dropped, but its data is not, so
        `flush` must come within 4 cycles, or the data goes where the next descriptor says (see
        BurstSplitter).
    beat: Out stream of TRAFFIC_BEAT without back-pressure, one per W beat that carries data.

    Latency: `request_latency` cycles from a descriptor to AWVALID. Throughput: one beat per cycle
    for bursts of at least 4 beats. At most config.outstanding bursts wait for their response.
    """

    request_latency = 6

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(WriteSignature()),
                "axi": Out(Axi4WriteSignature(address_bits=config.address_bits)),
                "window_base": In(config.address_bits),
                "window_beats": In(OFFSET_BITS),
                "flush": In(1),
                "pending": Out(1),
                "fault": Out(stream.Signature(fault_layout(config), always_ready=True)),
                "beat": Out(stream.Signature(TRAFFIC_BEAT, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, axi = self.config, self.axi
        depth = max(3, config.outstanding)
        m.submodules.descriptors = descriptors = Queue(shape=WRITE_DESCRIPTOR, depth=_DESCRIPTORS)
        m.submodules.splitter = splitter = BurstSplitter(config=config, shape=WRITE_DESCRIPTOR)
        m.submodules.data = words = Skid(shape=BEAT_BITS)
        m.submodules.bursts = bursts = Queue(shape=_data_layout(config), depth=depth)
        m.submodules.in_flight = in_flight = Queue(shape=place_layout(config), depth=depth)
        wiring.connect(m, wiring.flipped(self.i.descriptor), descriptors.i)
        wiring.connect(m, wiring.flipped(self.i.data), words.i)
        wiring.connect(m, descriptors.o, splitter.i)

        issue = Signal()
        burst = splitter.o.payload
        m.d.comb += [
            splitter.window_base.eq(self.window_base),
            splitter.window_beats.eq(self.window_beats),
            splitter.flush.eq(self.flush),
            splitter.o.ready.eq((~axi.awvalid | axi.awready) & bursts.i.ready & in_flight.i.ready),
            issue.eq(splitter.o.valid & splitter.o.ready),
            bursts.i.valid.eq(issue),
            bursts.i.payload.beats.eq(burst.beats),
            bursts.i.payload.traffic.eq(burst.traffic),
            bursts.i.payload.command.eq(burst.command),
            in_flight.i.valid.eq(issue),
            in_flight.i.payload.address.eq(burst.address),
            in_flight.i.payload.command.eq(burst.command),
            axi.awsize.eq(BEAT_BYTES.bit_length() - 1),
            axi.awburst.eq(1),
            axi.awcache.eq(0b0011),
        ]
        address = payload_register(m, axi.awaddr, "address")
        length = payload_register(m, axi.awlen, "length")
        with m.If(issue):
            m.d.sync += [
                axi.awvalid.eq(1),
                address.eq(burst.address),
                length.eq(burst.beats - 1),
            ]
        with m.Elif(axi.awready):
            m.d.sync += axi.awvalid.eq(0)

        current = bursts.o.payload
        sent = Signal.like(current.beats)
        last = Signal()
        push = Signal()
        register_free = Signal()
        m.d.comb += [
            register_free.eq(~axi.wvalid | axi.wready),
            last.eq(sent + 1 == current.beats),
            push.eq(register_free & bursts.o.valid & (words.o.valid | self.flush)),
            words.o.ready.eq(self.flush | (register_free & bursts.o.valid)),
            bursts.o.ready.eq(push & last),
        ]
        word = payload_register(m, axi.wdata, "word")
        last_word = payload_register(m, axi.wlast, "last_word")
        strobes = payload_register(m, axi.wstrb, "strobes")
        traffic = payload_register(m, self.beat.payload.traffic, "traffic")
        command = payload_register(m, self.beat.payload.command, "command")
        m.d.sync += self.beat.valid.eq(push & ~self.flush)
        with m.If(push):
            m.d.sync += [
                axi.wvalid.eq(1),
                word.eq(words.o.payload),
                last_word.eq(last),
                strobes.eq(_ALL_BYTES),
                traffic.eq(current.traffic),
                command.eq(current.command),
                sent.eq(sent + 1),
            ]
            with m.If(self.flush):
                m.d.sync += strobes.eq(0)
            with m.If(last):
                m.d.sync += sent.eq(0)
        with m.Elif(axi.wready):
            m.d.sync += axi.wvalid.eq(0)

        failed = Signal()
        answered = Signal(place_layout(config), reset_less=True)
        m.d.comb += [axi.bready.eq(in_flight.o.valid), in_flight.o.ready.eq(axi.bvalid)]
        m.d.sync += [
            failed.eq(axi.bvalid & axi.bready & axi.bresp[1]),
            answered.eq(in_flight.o.payload),
        ]
        with m.If(failed):
            m.d.comb += [
                self.fault.valid.eq(1),
                self.fault.payload.code.eq(int(ErrorCode.WRITE_RESPONSE)),
                self.fault.payload.address.eq(answered.address),
                self.fault.payload.command.eq(answered.command),
            ]
        with m.Elif(splitter.outside.valid):
            m.d.comb += [
                self.fault.valid.eq(1),
                self.fault.payload.code.eq(int(ErrorCode.WINDOW)),
                self.fault.payload.address.eq(splitter.outside.payload.address),
                self.fault.payload.command.eq(splitter.outside.payload.command),
            ]
        m.d.comb += self.pending.eq(
            (descriptors.level != 0)
            | ~splitter.idle
            | axi.awvalid
            | axi.wvalid
            | ~words.empty
            | (bursts.level != 0)
            | (in_flight.level != 0)
            | failed
        )
        return m
