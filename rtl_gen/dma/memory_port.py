# SPDX-License-Identifier: Apache-2.0
"""One AXI4 master: a read engine and a write engine behind the window check."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.dma.fault_merge import merge_faults
from rtl_gen.dma.read_engine import ReadEngine
from rtl_gen.dma.write_engine import WriteEngine
from rtl_gen.interfaces.axi import (
    Axi4ReadSignature,
    Axi4Signature,
    Axi4WriteSignature,
    axi_channels,
)
from rtl_gen.interfaces.dma import (
    OFFSET_BITS,
    READ_BEAT,
    READ_DESCRIPTOR,
    TRAFFIC_BEAT,
    WriteSignature,
)
from rtl_gen.interfaces.error import fault_layout

__all__ = ["MemoryPort"]


class MemoryPort(wiring.Component):
    """Reads and writes of one 128-bit AXI4 port; the two directions are independent and unordered.

    Parameters
    ----------
    config: the configuration.

    Members
    -------
    i_read: In stream of READ_DESCRIPTOR.
    o_beat: Out stream of READ_BEAT.
    i_write: In(WriteSignature).
    axi: Out(Axi4Signature); INCR bursts of at most 64 beats that never cross 4 KiB, every VALID
        held with a stable payload until READY.
    window_base: In, byte address, 4 KiB aligned.
    window_beats: In(OFFSET_BITS), beats of the window. Nothing outside reaches the bus.
    flush: In, hold at 1 until `idle`: finish what AXI demands, drop everything else.
    idle: Out, nothing queued, outstanding or buffered; rises a cycle late.
    writes_pending: Out, a write is not answered yet; falls a cycle late.
    error: Out stream of fault_layout without back-pressure, ERROR_LATENCY cycle after that of an
        engine, so that `flush` must come within 3 cycles of a WINDOW error (see WriteEngine); of
        two faults in a cycle the read's is reported, and the write's in the first cycle without
        one.
    o_read_beat, o_write_beat: Out streams of TRAFFIC_BEAT without back-pressure.

    Latency, throughput and errors: see ReadEngine and WriteEngine.
    """

    ERROR_LATENCY = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_read": In(stream.Signature(READ_DESCRIPTOR)),
                "o_beat": Out(stream.Signature(READ_BEAT)),
                "i_write": In(WriteSignature()),
                "axi": Out(Axi4Signature(address_bits=config.address_bits)),
                "window_base": In(config.address_bits),
                "window_beats": In(OFFSET_BITS),
                "flush": In(1),
                "idle": Out(1, init=1),
                "writes_pending": Out(1),
                "error": Out(stream.Signature(fault_layout(config), always_ready=True)),
                "o_read_beat": Out(stream.Signature(TRAFFIC_BEAT, always_ready=True)),
                "o_write_beat": Out(stream.Signature(TRAFFIC_BEAT, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, axi_bits = self.config, self.config.address_bits
        m.submodules.read = read = ReadEngine(config=config)
        m.submodules.write = write = WriteEngine(config=config)
        wiring.connect(m, wiring.flipped(self.i_read), read.i)
        wiring.connect(m, read.o, wiring.flipped(self.o_beat))
        wiring.connect(m, wiring.flipped(self.i_write), write.i)
        for engine, signature in ((read, Axi4ReadSignature), (write, Axi4WriteSignature)):
            channels = axi_channels(self.axi, signature(address_bits=axi_bits))
            wiring.connect(m, engine.axi, wiring.flipped(channels))
            m.d.comb += [
                engine.window_base.eq(self.window_base),
                engine.window_beats.eq(self.window_beats),
                engine.flush.eq(self.flush),
            ]
        wiring.connect(m, read.beat, wiring.flipped(self.o_read_beat))
        wiring.connect(m, write.beat, wiring.flipped(self.o_write_beat))
        # What leaves for the middle of the chip comes from registers; what is offered in a cycle
        # counts as queued in the next one.
        error = self.error.signature.create(path=("merged",))
        waits = merge_faults(m, read.fault, write.fault, error) | error.valid
        arrives = self.i_write.descriptor.valid | self.i_write.data.valid
        fault = payload_register(m, self.error.payload, "fault")
        m.d.sync += [
            self.error.valid.eq(error.valid),
            fault.eq(error.payload),
            self.idle.eq(read.idle & ~write.pending & ~waits & ~self.i_read.valid & ~arrives),
            self.writes_pending.eq(write.pending | waits | arrives),
        ]
        return m
