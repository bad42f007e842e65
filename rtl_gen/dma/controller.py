# SPDX-License-Identifier: Apache-2.0
"""The DMA controller: all traffic with DRAM but the reading of commands, as one component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.config import AcceleratorConfig
from rtl_gen.dma.beat_router import BeatRouter
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.dma.loader import Loader, load_word_layout
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.storer import Storer
from rtl_gen.interfaces.axi import Axi4Signature
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.dma import BEAT_BITS, OFFSET_BITS
from rtl_gen.interfaces.error import fault_layout
from rtl_gen.interfaces.memory import MemoryReadSignature, MemoryWriteSignature
from rtl_gen.interfaces.norm import norm_write_layout
from rtl_gen.interfaces.tile import DECODE_JOB

__all__ = ["DmaController", "connect_reads", "connect_writes", "set_window"]


def connect_reads(
    m: Module,
    *,
    descriptors: Sequence[Any],
    ports: Sequence[MemoryPort],
    routers: Sequence[BeatRouter],
    fetch: FetchUnit,
    loader: Loader,
    beats: Sequence[Any],
    jobs: Sequence[Any],
) -> None:
    """Descriptors to each port, what it reads to the loader and to `beats`, and the decode jobs,
    which say what those are, to `jobs`.
    """
    for index, (port, router) in enumerate(zip(ports, routers, strict=True)):
        connect(m, descriptors[index], port.i_read)
        connect(m, port.o_beat, router.i)
        connect(m, router.o_load, loader.i_beats[index])
        connect(m, router.o_decoder, beats[index])
        connect(m, fetch.o_decode[index], jobs[index])


def connect_writes(m: Module, *, storer: Storer, ports: Sequence[MemoryPort]) -> None:
    """Descriptors and beats of the storer to the ports."""
    for write, port in zip(storer.o_write, ports, strict=True):
        connect(m, write, port.i_write)


def set_window(
    m: Module, ports: Iterable[MemoryPort], *, base: Value, beats: Value, flush: Value
) -> None:
    """The DMA window and the flush to every port."""
    for port in ports:
        m.d.comb += [
            port.window_base.eq(base),
            port.window_beats.eq(beats),
            port.flush.eq(flush),
        ]


class DmaController(wiring.Component):
    """The memory ports with fetch unit, loader and storer, wired as in the accelerator. Who uses it
    hands over commands, which the accelerator's sequencer reads from DRAM itself.

    Parameters
    ----------
    config: width W, ports P.

    Members
    -------
    i_fetch: In stream of COMMAND_BITS: LOAD, MATMUL and ATTEND, whose data is read, see FetchUnit.
    i_load: In stream of COMMAND_BITS: every LOAD that was fetched, in their order, when its words
        may be written, see Loader.
    i_store: In stream of COMMAND_BITS: STORE, see Storer.
    step: In(step_layout), stable while a command is under way.
    window_base: In, byte address of the DMA window, 4 KiB aligned.
    window_beats: In(OFFSET_BITS), beats of the window. Nothing outside reaches the bus.
    flush: In, hold at 1 until `idle` to drop what is under way, see MemoryPort.
    fetch_busy, load_busy, store_busy: Out, `busy` of the three.
    idle: Out, no port has anything queued, outstanding or buffered; rises 2 cycles late.
    writes_pending: Out, a write is not answered yet; falls 2 cycles late.
    o_decode: P Out streams of DECODE_JOB, what the beats of `o_beat` are.
    o_beat: P Out streams of beats: weights, and rows of the K/V cache.
    o_write: Out(MemoryWriteSignature), words of LOADs.
    o_norm: Out stream of norm_write_layout, without back-pressure.
    o_table: Out stream of load_word_layout.
    o_read: Out(MemoryReadSignature), words for STOREs; data comes ActivationMemory.READ_LATENCY of
        "storer" cycles after the transfer of its address.
    o_error: P Out streams of fault_layout, without back-pressure.
    m_axi: P Out(Axi4Signature).

    Latency, throughput and back-pressure: those of FetchUnit, Loader, Storer and MemoryPort, with
    no register between them. A port whose decoder beats are not taken holds up its LOADs behind
    them.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        command = In(stream.Signature(COMMAND_BITS))
        fault = stream.Signature(fault_layout(config), always_ready=True)
        norm = stream.Signature(norm_write_layout(config), always_ready=True)
        super().__init__(
            {
                "i_fetch": command,
                "i_load": command,
                "i_store": command,
                "step": In(step_layout(config)),
                "window_base": In(config.address_bits),
                "window_beats": In(OFFSET_BITS),
                "flush": In(1),
                "fetch_busy": Out(1),
                "load_busy": Out(1),
                "store_busy": Out(1),
                "idle": Out(1),
                "writes_pending": Out(1),
                "o_decode": Out(stream.Signature(DECODE_JOB)).array(config.ports),
                "o_beat": Out(stream.Signature(BEAT_BITS)).array(config.ports),
                "o_write": Out(MemoryWriteSignature(config)),
                "o_norm": Out(norm),
                "o_table": Out(stream.Signature(load_word_layout(config))),
                "o_read": Out(MemoryReadSignature(config)),
                "o_error": Out(fault).array(config.ports),
                "m_axi": Out(Axi4Signature(address_bits=config.address_bits)).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, outside = self._config, flipped(self)
        m.submodules.fetch = fetch = FetchUnit(config=config)
        m.submodules.loader = loader = Loader(config=config)
        m.submodules.storer = storer = Storer(config=config)
        ports, routers = [], []
        for index in range(config.ports):
            port, router = MemoryPort(config=config), BeatRouter()
            m.submodules[f"port{index}"] = port
            m.submodules[f"router{index}"] = router
            ports.append(port)
            routers.append(router)
        connect(m, outside.i_fetch, fetch.i_command)
        connect(m, outside.i_load, loader.i_command)
        connect(m, outside.i_store, storer.i_command)
        connect_reads(
            m,
            descriptors=fetch.o_read,
            ports=ports,
            routers=routers,
            fetch=fetch,
            loader=loader,
            beats=[flipped(beat) for beat in self.o_beat],
            jobs=[flipped(job) for job in self.o_decode],
        )
        connect_writes(m, storer=storer, ports=ports)
        set_window(m, ports, base=self.window_base, beats=self.window_beats, flush=self.flush)
        for index, port in enumerate(ports):
            connect(m, port.axi, flipped(self.m_axi[index]))
            connect(m, port.error, flipped(self.o_error[index]))
        connect(m, loader.o_write, outside.o_write)
        connect(m, loader.o_norm, outside.o_norm)
        connect(m, loader.o_table, outside.o_table)
        connect(m, storer.o_read, outside.o_read)
        m.d.comb += [
            *(unit.step.eq(self.step) for unit in (fetch, loader, storer)),
            self.fetch_busy.eq(fetch.busy),
            self.load_busy.eq(loader.busy),
            self.store_busy.eq(storer.busy),
            self.idle.eq(Cat(port.idle for port in ports).all()),
            self.writes_pending.eq(Cat(port.writes_pending for port in ports).any()),
        ]
        return m
