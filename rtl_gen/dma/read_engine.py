# SPDX-License-Identifier: Apache-2.0
"""Read half of a memory port: descriptors in, beats out."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.registers import ErrorCode
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.skid import Skid
from rtl_gen.dma.bursts import BurstSplitter, burst_layout
from rtl_gen.dma.fault_merge import merge_faults
from rtl_gen.interfaces.axi import Axi4ReadSignature
from rtl_gen.interfaces.dma import (
    OFFSET_BITS,
    READ_BEAT,
    READ_DESCRIPTOR,
    TRAFFIC_BEAT,
    Route,
)
from rtl_gen.interfaces.error import fault_layout

__all__ = ["ReadEngine"]

_DESCRIPTORS = 4


class ReadEngine(wiring.Component):
    """Reads descriptors beat by beat through the AR and R channels, prefetching up to
    config.prefetch_beats.

    A burst is requested only when the prefetch storage has a place for each of its beats, so RREADY
    is 1 from the cycle after a burst's AR transfer to its last beat. At most config.outstanding
    bursts are in flight.

    Parameters
    ----------
    config: the configuration.

    Members
    -------
    i: In stream of READ_DESCRIPTOR.
    o: Out stream of READ_BEAT, in descriptor order, `last` on a descriptor's last.
    axi: Out(Axi4ReadSignature).
    window_base, window_beats: In, see BurstSplitter.
    flush: In, drop descriptors and data until `idle`; from the cycle after it has risen on,
        `o.valid` is 0 even if it was 1 before.
    idle: Out, nothing queued, requested, buffered or offered.
    fault: Out stream of fault_layout without back-pressure: READ_RESPONSE (address of the burst;
        its data is delivered all the same) in the cycle after the beat's transfer, or WINDOW
        (address of the descriptor, of which nothing is delivered: what is, belongs to the next one)
        in the first cycle without the former.
    beat: Out stream of TRAFFIC_BEAT without back-pressure, one per R beat.

    Latency: `request_latency` cycles from a descriptor to ARVALID, `beat_latency` from an R
        transfer to `o.valid`.
    Throughput: one beat per cycle; back-pressure at `o` stops requests, never the bus.
    """

    request_latency = 6
    beat_latency = 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(READ_DESCRIPTOR)),
                "o": Out(stream.Signature(READ_BEAT)),
                "axi": Out(Axi4ReadSignature(address_bits=config.address_bits)),
                "window_base": In(config.address_bits),
                "window_beats": In(OFFSET_BITS),
                "flush": In(1),
                "idle": Out(1),
                "fault": Out(stream.Signature(fault_layout(config), always_ready=True)),
                "beat": Out(stream.Signature(TRAFFIC_BEAT, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, axi = self.config, self.axi
        m.submodules.descriptors = descriptors = Queue(shape=READ_DESCRIPTOR, depth=_DESCRIPTORS)
        m.submodules.splitter = splitter = BurstSplitter(config=config, shape=READ_DESCRIPTOR)
        m.submodules.in_flight = in_flight = Queue(
            shape=burst_layout(config), depth=max(3, config.outstanding)
        )
        m.submodules.storage = storage = Queue(shape=READ_BEAT, depth=config.prefetch_beats)
        m.submodules.output = output = Skid(shape=READ_BEAT)
        wiring.connect(m, wiring.flipped(self.i), descriptors.i)
        wiring.connect(m, descriptors.o, splitter.i)

        free = Signal(range(config.prefetch_beats + 1), init=config.prefetch_beats)
        issue = Signal()
        released = Signal()
        burst = splitter.o.payload
        m.d.comb += [
            splitter.window_base.eq(self.window_base),
            splitter.window_beats.eq(self.window_beats),
            splitter.flush.eq(self.flush),
            splitter.o.ready.eq(
                (~axi.arvalid | axi.arready) & in_flight.i.ready & (burst.beats <= free)
            ),
            issue.eq(splitter.o.valid & splitter.o.ready),
            in_flight.i.valid.eq(issue),
            in_flight.i.payload.eq(burst),
            released.eq(storage.o.valid & storage.o.ready),
        ]
        m.d.sync += free.eq(free + released - Mux(issue, burst.beats, 0))
        address = payload_register(m, axi.araddr, "address")
        length = payload_register(m, axi.arlen, "length")
        with m.If(issue):
            m.d.sync += [
                axi.arvalid.eq(1),
                address.eq(burst.address),
                length.eq(burst.beats - 1),
            ]
        with m.Elif(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        m.d.comb += [
            axi.arsize.eq(BEAT_BYTES.bit_length() - 1),
            axi.arburst.eq(1),
            axi.arcache.eq(0b0011),
        ]

        current = in_flight.o.payload
        taken = Signal(READ_BEAT, reset_less=True)
        taken_valid = Signal()
        failed = Signal()
        response = self.fault.signature.create(path=("response",))
        outside = self.fault.signature.create(path=("outside",))
        # The beat of a wrong response is still in the storage when a fault that waits for it is
        # reported, so `idle` need not know.
        merge_faults(m, response, outside, self.fault)
        m.d.comb += [
            axi.rready.eq(in_flight.o.valid),
            in_flight.o.ready.eq(axi.rvalid & axi.rlast),
            storage.i.valid.eq(taken_valid),
            storage.i.payload.eq(taken),
        ]
        traffic = payload_register(m, self.beat.payload.traffic, "traffic")
        command = payload_register(m, self.beat.payload.command, "command")
        failed_address = payload_register(m, response.payload.address, "failed_address")
        failed_command = payload_register(m, response.payload.command, "failed_command")
        of_commands = payload_register(m, response.payload.of_commands, "failed_of_commands")
        m.d.sync += [
            taken_valid.eq(axi.rvalid & axi.rready),
            taken.data.eq(axi.rdata),
            taken.route.eq(current.route),
            taken.last.eq(current.last & axi.rlast),
            self.beat.valid.eq(axi.rvalid & axi.rready),
            traffic.eq(current.traffic),
            command.eq(current.command),
            failed.eq(axi.rvalid & axi.rready & axi.rresp[1]),
            failed_address.eq(current.address),
            failed_command.eq(current.command),
            of_commands.eq(current.route == Route.COMMAND.value),
        ]
        m.d.comb += [
            response.valid.eq(failed),
            response.payload.code.eq(int(ErrorCode.READ_RESPONSE)),
            outside.valid.eq(splitter.outside.valid),
            outside.payload.code.eq(int(ErrorCode.WINDOW)),
            outside.payload.address.eq(splitter.outside.payload.address),
            outside.payload.command.eq(splitter.outside.payload.command),
            outside.payload.of_commands.eq(burst.route == Route.COMMAND.value),
        ]

        # A register: who takes the beats decides on them in the same cycle.
        dropping = Signal()
        m.d.sync += dropping.eq(self.flush)
        wiring.connect(m, storage.o, output.i)
        m.d.comb += [
            self.o.payload.eq(output.o.payload),
            self.o.valid.eq(output.o.valid & ~dropping),
            output.o.ready.eq(self.o.ready | dropping),
            self.idle.eq(
                ~descriptors.o.valid
                & (descriptors.level == 0)
                & splitter.idle
                & ~axi.arvalid
                & (in_flight.level == 0)
                & ~taken_valid
                & ~failed
                & (storage.level == 0)
                & output.empty
            ),
        ]
        return m
