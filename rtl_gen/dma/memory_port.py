# SPDX-License-Identifier: Apache-2.0
"""One AXI4 master: a read engine and a write engine behind the window check."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.dma.bursts import fault_layout
from rtl_gen.dma.read_engine import TRAFFIC_BEAT, ReadEngine
from rtl_gen.dma.write_engine import WriteEngine
from rtl_gen.interfaces.axi import Axi4Signature
from rtl_gen.interfaces.dma import READ_BEAT, READ_DESCRIPTOR, WRITE_DESCRIPTOR

__all__ = ["MemoryPort"]


class MemoryPort(wiring.Component):
    """Reads and writes of one 128-bit AXI4 port; the two directions are independent and unordered.

    Parameter: config. Members
    -------
    i_read: In stream of READ_DESCRIPTOR. o_beat: Out stream of READ_BEAT.
    i_write: In stream of WRITE_DESCRIPTOR. i_write_data: In stream of 128 bits.
    axi: Out Axi4Signature; INCR bursts of at most 64 beats that never cross 4 KiB, every VALID held
        with a stable payload until READY.
    window_base: In, byte address, 4 KiB aligned. window_beats: In(32). Nothing outside reaches the
        bus.
    flush: In, hold at 1 until `idle`: finish what AXI demands, drop everything else.
    idle: Out, nothing queued, outstanding or buffered. writes_pending: Out, a write is not answered
        yet.
    error: Out fault_layout pulse, with the index of the command that the access belongs to; of two
        faults in a cycle the read's is reported, and the write's in the first cycle without one.
    o_read_beat, o_write_beat: Out TRAFFIC_BEAT.

    Latency, throughput and errors: see ReadEngine and WriteEngine.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_read": In(stream.Signature(READ_DESCRIPTOR)),
                "o_beat": Out(stream.Signature(READ_BEAT)),
                "i_write": In(stream.Signature(WRITE_DESCRIPTOR)),
                "i_write_data": In(stream.Signature(8 * BEAT_BYTES)),
                "axi": Out(Axi4Signature(address_bits=config.address_bits)),
                "window_base": In(config.address_bits),
                "window_beats": In(32),
                "flush": In(1),
                "idle": Out(1),
                "writes_pending": Out(1),
                "error": Out(fault_layout(config)),
                "o_read_beat": Out(TRAFFIC_BEAT),
                "o_write_beat": Out(TRAFFIC_BEAT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.read = read = ReadEngine(config=self.config)
        m.submodules.write = write = WriteEngine(config=self.config)
        wiring.connect(m, wiring.flipped(self.i_read), read.i)
        wiring.connect(m, wiring.flipped(self.o_beat), read.o)
        wiring.connect(m, wiring.flipped(self.i_write), write.i)
        wiring.connect(m, wiring.flipped(self.i_write_data), write.i_data)
        for name, member in self.axi.signature.members.items():
            engine = read if name.startswith(("ar", "r")) else write
            if member.flow == Out:
                m.d.comb += getattr(self.axi, name).eq(getattr(engine.axi, name))
            else:
                m.d.comb += getattr(engine.axi, name).eq(getattr(self.axi, name))
        for engine in (read, write):
            m.d.comb += [
                engine.window_base.eq(self.window_base),
                engine.window_beats.eq(self.window_beats),
                engine.flush.eq(self.flush),
            ]
        late = Signal(
            self.error.shape()
        )  # the write's fault; a read's may be none, if it is of commands
        m.d.comb += [
            self.idle.eq(read.idle & ~write.pending & ~late.valid),
            self.writes_pending.eq(write.pending | late.valid),
            self.o_read_beat.eq(read.beat),
            self.o_write_beat.eq(write.beat),
        ]
        with m.If(read.fault.valid):
            m.d.comb += self.error.eq(read.fault)
            with m.If(~late.valid):
                m.d.sync += late.eq(write.fault)
        with m.Elif(late.valid):
            m.d.comb += self.error.eq(late)
            m.d.sync += late.eq(write.fault)
        with m.Else():
            m.d.comb += self.error.eq(write.fault)
        return m
