# SPDX-License-Identifier: Apache-2.0
"""The memory ports of a configuration alone, with the ports of the chip: every port reads one
region at full speed.

Registers, 32 bits each: 0 first beat of port 0 in the DMA window, 4 beats from a port's region to
the next port's, 8 beats of a descriptor, 0xC descriptors of each port, 0x10 mask of the ports that
read, 0x14 start (any write), 0x18 ports that are done (read). Port p reads its region from beat 0
on, descriptor after descriptor, and takes every beat at once. What it saw, from 0x40 + 0x20 * p:
cycle of the first beat, of the last one, counted from the start; beats; their sum, 32-bit words
added modulo 2**32; faults.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.interfaces.axi import Axi4Signature, LiteSignature, axi_ports

__all__ = ["PORT_REGISTERS", "ReadBench", "read_bench_verilog"]

WINDOW_BITS = 28
PORT_REGISTERS = ("first", "last", "beats", "sum", "faults")


class ReadBench(wiring.Component):
    """See the module; `base` is the byte address of the window."""

    def __init__(self, *, config: AcceleratorConfig, base: int) -> None:
        self.config = config
        self.base = base
        super().__init__(
            {
                "s_axi": In(LiteSignature()),
                "irq": Out(1),
                "m_axi": Out(Axi4Signature(address_bits=config.address_bits)).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        names = ("first", "stride", "length", "count", "mask")
        settings = {name: Signal(32, name=name) for name in names}
        start = Signal()
        time = Signal(32)
        done = Signal(self.config.ports)
        results = {0x18: done}
        for port in range(self.config.ports):
            seen = self._reader(m, port, settings, start, time, done[port])
            for index, name in enumerate(PORT_REGISTERS):
                results[0x40 + 0x20 * port + 4 * index] = seen[name]
        m.d.sync += [start.eq(0), time.eq(Mux(start, 0, time + 1))]
        m.d.comb += self.irq.eq((done & settings["mask"]) == settings["mask"])
        self._registers(m, list(settings.values()), start, results)
        return m

    def _registers(self, m, settings, start, results) -> None:
        lite = self.s_axi
        write = lite.awvalid & lite.wvalid & ~lite.bvalid
        m.d.comb += [lite.awready.eq(write), lite.wready.eq(write)]
        with m.If(write):
            m.d.sync += lite.bvalid.eq(1)
            with m.Switch(lite.awaddr):
                for index, register in enumerate(settings):
                    with m.Case(4 * index):
                        m.d.sync += register.eq(lite.wdata)
                with m.Case(0x14):
                    m.d.sync += start.eq(1)
        with m.Elif(lite.bready):
            m.d.sync += lite.bvalid.eq(0)
        m.d.comb += lite.arready.eq(~lite.rvalid)
        with m.If(lite.arvalid & lite.arready):
            m.d.sync += lite.rvalid.eq(1)
            with m.Switch(lite.araddr):
                for address, value in results.items():
                    with m.Case(address):
                        m.d.sync += lite.rdata.eq(value)
        with m.Elif(lite.rready):
            m.d.sync += lite.rvalid.eq(0)

    def _reader(self, m, port, settings, start, time, done) -> dict[str, Signal]:
        unit = MemoryPort(config=self.config)
        m.submodules[f"port{port}"] = unit
        wiring.connect(m, unit.axi, wiring.flipped(self.m_axi[port]))
        seen = {name: Signal(32, name=f"{name}{port}") for name in PORT_REGISTERS}
        offset, left = Signal(32, name=f"offset{port}"), Signal(32, name=f"left{port}")
        busy = Signal(name=f"busy{port}")
        beat, descriptor = unit.o_beat, unit.i_read
        m.d.comb += [
            unit.window_base.eq(self.base),
            unit.window_beats.eq(1 << WINDOW_BITS),
            beat.ready.eq(1),
            descriptor.valid.eq(left != 0),
            descriptor.payload.offset.eq(offset),
            descriptor.payload.beats.eq(settings["length"]),
            descriptor.payload.route.eq(port % 4),
            done.eq(~busy & ~start),
        ]
        with m.If(descriptor.valid & descriptor.ready):
            m.d.sync += [left.eq(left - 1), offset.eq(offset + settings["length"])]
        with m.If(beat.valid):
            words = [beat.payload.data[32 * index :][:32] for index in range(4)]
            m.d.sync += [
                seen["beats"].eq(seen["beats"] + 1),
                seen["sum"].eq(seen["sum"] + sum(words)),
                seen["last"].eq(time),
            ]
            with m.If(seen["beats"] == 0):
                m.d.sync += seen["first"].eq(time)
        with m.If(unit.error.valid):
            m.d.sync += seen["faults"].eq(seen["faults"] + 1)
        with m.If(busy & (left == 0) & unit.idle):
            m.d.sync += busy.eq(0)
        with m.If(start & settings["mask"].bit_select(port, 1)):
            m.d.sync += [
                busy.eq(1),
                left.eq(settings["count"]),
                offset.eq(settings["first"] + port * settings["stride"]),
                Cat(*seen.values()).eq(0),
            ]
        return seen


def read_bench_verilog(config: AcceleratorConfig, *, base: int) -> str:
    """Verilog of the bench as module `meadow_top`."""
    bench = ReadBench(config=config, base=base)
    ports = {"irq": bench.irq} | axi_ports("s_axi", bench.s_axi)
    for port in range(config.ports):
        ports |= axi_ports(f"m_axi{port}", bench.m_axi[port])
    return convert_component(
        bench, name="meadow_top", ports={name: (value, None) for name, value in ports.items()}
    )
