# SPDX-License-Identifier: Apache-2.0
"""A small AXI design with the ports of the chip, for tests of the harness: every port copies one
region to another.

Registers: 0 source, 4 destination, 8 beats, 0xC control (write 1: start, 2: acknowledge), 0x10
status (1: done), 0x14 number of error responses, 0x18 cycles of the copy. Port p copies `beats`
beats from source + p * 64 KiB to destination + p * 64 KiB, in bursts of 16. 0x1C: number of the
fault in FAULTS to commit. 0x148: `refused` of the chip, always 0. An access to any other offset is
answered SLVERR, which the chip never does.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Assert, Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib.fifo import SyncFIFOBuffered

from meadow.spec.registers import REFUSED
from rtl_gen.blocks.verilog import convert_component

__all__ = ["FAULTS", "CopyEngine", "copy_engine_verilog"]

FAULTS = ("none", "unstable", "page", "last", "size", "stop")
BURST_BEATS = 16


class CopyEngine(Elaboratable):
    """See the module; `ports` AXI4 masters."""

    def __init__(self, *, ports: int) -> None:
        self.fault = Signal(3)
        self.irq = Signal()
        self.lite: dict[str, Signal] = {
            name: Signal(bits, name=f"s_axi_{name}")
            for name, bits in (
                *(("awaddr", 12), ("awprot", 3), ("awvalid", 1), ("awready", 1), ("wdata", 32)),
                *(("wstrb", 4), ("wvalid", 1), ("wready", 1), ("bresp", 2), ("bvalid", 1)),
                *(("bready", 1), ("araddr", 12), ("arprot", 3), ("arvalid", 1), ("arready", 1)),
                *(("rdata", 32), ("rresp", 2), ("rvalid", 1), ("rready", 1)),
            )
        }
        self.masters: list[dict[str, Signal]] = [
            {
                name: Signal(bits, name=f"m_axi{port}_{name}")
                for name, bits in (
                    *(("araddr", 40), ("arlen", 8), ("arsize", 3), ("arburst", 2), ("arvalid", 1)),
                    *(("arready", 1), ("rdata", 128), ("rresp", 2), ("rlast", 1), ("rvalid", 1)),
                    *(("rready", 1), ("awaddr", 40), ("awlen", 8), ("awsize", 3), ("awburst", 2)),
                    *(("awvalid", 1), ("awready", 1), ("wdata", 128), ("wstrb", 16), ("wlast", 1)),
                    *(("wvalid", 1), ("wready", 1), ("bresp", 2), ("bvalid", 1), ("bready", 1)),
                )
            }
            for port in range(ports)
        ]

    def elaborate(self, platform: object) -> Any:
        """Registers, then one copier per port."""
        m: Any = Module()
        lite = self.lite
        source = Signal(32)
        destination = Signal(32)
        beats = Signal(16)
        start = Signal()
        done = Signal()
        errors = Signal(16)
        cycles = Signal(32)
        copiers_done = []

        write = Signal()
        m.d.comb += [
            write.eq(lite["awvalid"] & lite["wvalid"] & ~lite["bvalid"]),
            lite["awready"].eq(write),
            lite["wready"].eq(write),
            lite["arready"].eq(lite["arvalid"] & ~lite["rvalid"]),
            self.irq.eq(done),
        ]
        m.d.sync += start.eq(0)
        with m.If(write):
            m.d.sync += [lite["bvalid"].eq(1), lite["bresp"].eq(Mux(lite["awaddr"] > 0x1C, 2, 0))]
            with m.Switch(lite["awaddr"]):
                for address, register in (
                    (0, source),
                    (4, destination),
                    (8, beats),
                    (0x1C, self.fault),
                ):
                    with m.Case(address):
                        m.d.sync += register.eq(lite["wdata"])
                with m.Case(0xC):
                    m.d.sync += [start.eq(lite["wdata"][0]), done.eq(0)]
        with m.Elif(lite["bready"]):
            m.d.sync += lite["bvalid"].eq(0)
        with m.If(lite["arready"]):
            m.d.sync += [lite["rvalid"].eq(1), lite["rresp"].eq(0)]
            with m.Switch(lite["araddr"]):
                for address, value in (
                    (0, source),
                    (4, destination),
                    (8, beats),
                    (0x10, done),
                    (0x14, errors),
                    (0x18, cycles),
                    (REFUSED, 0),
                ):
                    with m.Case(address):
                        m.d.sync += lite["rdata"].eq(value)
                with m.Default():
                    m.d.sync += [lite["rdata"].eq(0), lite["rresp"].eq(2)]
        with m.Elif(lite["rready"]):
            m.d.sync += lite["rvalid"].eq(0)

        running = Signal()
        failures = []
        for port, master in enumerate(self.masters):
            finished, failed = self._copier(m, port, master, source, destination, beats, start)
            copiers_done.append(finished)
            failures.append(failed)
        m.d.sync += errors.eq(errors + sum(failures))
        with m.If(start):
            m.d.sync += [running.eq(1), cycles.eq(0), errors.eq(0)]
        with m.Elif(running):
            m.d.sync += cycles.eq(cycles + 1)
            with m.If(Cat(*copiers_done).all()):
                m.d.sync += [running.eq(0), done.eq(1)]
        m.d.comb += Assert(~(running & self._commits("stop")), "planted")
        return m

    def _commits(self, fault: str):
        return self.fault == FAULTS.index(fault)

    def _copier(self, m, port, master, source, destination, beats, start):
        m.submodules[f"fifo{port}"] = fifo = SyncFIFOBuffered(width=128, depth=64)
        first = Const(port << 16)
        ar_left, aw_left, w_left, b_left = (
            Signal(16, name=f"{n}_left{port}") for n in "ar aw w b".split()
        )
        room = Signal(8, init=64, name=f"room{port}")
        burst = Signal(4, name=f"burst{port}")
        finished, busy = Signal(name=f"finished{port}"), Signal(name=f"busy{port}")
        failed = Signal(2, name=f"failed{port}")
        ar, aw, w = (master[n + "valid"] for n in ("ar", "aw", "w"))
        m.d.comb += [
            master["arlen"].eq(BURST_BEATS - 1),
            master["awlen"].eq(BURST_BEATS - 1),
            master["arsize"].eq(Mux(self._commits("size"), 3, 4)),
            master["awsize"].eq(4),
            master["arburst"].eq(1),
            master["awburst"].eq(1),
            master["wstrb"].eq(0xFFFF),
            ar.eq((ar_left != 0) & (room >= BURST_BEATS)),
            aw.eq(aw_left != 0),
            fifo.w_data.eq(master["rdata"]),
            fifo.w_en.eq(master["rvalid"]),
            master["rready"].eq(fifo.w_rdy),
            master["wdata"].eq(fifo.r_data),
            w.eq(fifo.r_rdy),
            fifo.r_en.eq(master["wready"]),
            master["wlast"].eq(
                burst == Mux(self._commits("last"), BURST_BEATS - 2, BURST_BEATS - 1)
            ),
            master["bready"].eq(1),
            finished.eq(~busy & ~start),
            failed.eq(
                (master["bvalid"] & master["bresp"].any())
                + (master["rvalid"] & master["rready"] & master["rresp"].any())
            ),
        ]
        flip = Signal(name=f"flip{port}")
        m.d.sync += flip.eq(~flip)
        with m.If(self._commits("unstable") & flip):
            m.d.comb += master["awlen"].eq(0)
        pop = w & master["wready"]
        accepted = ar & master["arready"]
        m.d.sync += room.eq(room + pop - Mux(accepted, BURST_BEATS, 0))
        with m.If(start):
            m.d.sync += [
                master["araddr"].eq(source + first + Mux(self._commits("page"), 0x80, 0)),
                master["awaddr"].eq(destination + first),
                *(left.eq(beats[4:]) for left in (ar_left, aw_left, b_left)),
                busy.eq(1),
            ]
        with m.If(accepted):
            m.d.sync += [
                ar_left.eq(ar_left - 1),
                master["araddr"].eq(master["araddr"] + BURST_BEATS * 16),
            ]
        with m.If(aw & master["awready"]):
            m.d.sync += [
                aw_left.eq(aw_left - 1),
                master["awaddr"].eq(master["awaddr"] + BURST_BEATS * 16),
            ]
        with m.If(pop):
            m.d.sync += burst.eq(burst + 1)
        with m.If(master["bvalid"]):
            m.d.sync += b_left.eq(b_left - 1)
            with m.If(b_left == 1):
                m.d.sync += busy.eq(0)
        return finished, failed


def copy_engine_verilog(*, ports: int) -> str:
    """Verilog of the engine as module `meadow_top`."""
    engine = CopyEngine(ports=ports)
    signals = {"irq": engine.irq} | {s.name: s for s in engine.lite.values()}
    for master in engine.masters:
        signals |= {s.name: s for s in master.values()}
    return convert_component(
        engine, name="meadow_top", ports={name: (signal, None) for name, signal in signals.items()}
    )
