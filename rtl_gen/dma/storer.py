# SPDX-License-Identifier: Apache-2.0
"""Storer: STORE commands, rows of activation memory to segments in DRAM."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.command_runner import CommandRunner
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.skid import Skid
from rtl_gen.blocks.turns import take_turns
from rtl_gen.dma.store_descriptors import StoreDescriptors
from rtl_gen.dma.store_reader import StoreReader
from rtl_gen.dma.store_share import StoreShare
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.dma import WriteSignature
from rtl_gen.interfaces.memory import ADDRESS_BITS, MemoryReadSignature
from rtl_gen.interfaces.row_set import ROW_BITS, row_count
from rtl_gen.memory.activation_memory import ActivationMemory

__all__ = ["Storer"]


class Storer(wiring.Component):
    """Segment j of row r goes to beat offset + j*segment_stride + r*segment_beats, or in the cache
    of its sequence (see StoreDescriptors), through port j mod P if segments >= P, else rows are
    dealt out in runs (see StoreShare). With the command's `exponents` set, a word stands for its
    exponent: byte 0 holds it and the others are 0.

    Parameters
    ----------
    config: width W, ports P, the sequence table.

    Members
    -------
    i_command: In stream of COMMAND_BITS, STORE commands.
    step: In(step_layout).
    o_read: Out(MemoryReadSignature), client "storer" of ActivationMemory; relies on its fixed
        LATENCY. `ready`, which comes late in the cycle, ends in a register slice.
    o_write: P Out(WriteSignature). Beats may be offered before their descriptor.
    busy: Out(1), from the cycle a command is offered until the ports have taken all descriptors and
        beats. Write responses are the ports' business.

    Ports run independently; they take turns at the memory's read port. Throughput: one word per
    cycle in total, one beat
    per cycle and port: P beats per cycle while P <= segment beats in a word.
    """

    LATENCY = StoreShare.LATENCY + 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_read": Out(MemoryReadSignature(config)),
                "o_write": Out(WriteSignature()).array(config.ports),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        # The shares of the ports and the addresses of their first words, from the rows.
        runner = CommandRunner(
            m, self.i_command, opcode=Opcode.STORE, prepare_cycles=StoreShare.LATENCY
        )
        command = runner.command
        rows = Signal(ROW_BITS, reset_less=True)
        with m.If(runner.idle):
            offered = runner.offered
            m.d.sync += rows.eq(row_count(self.step, offered.row_set, offered.rows))
        m.submodules.shares = shares = StoreShare(config=config)
        m.d.comb += [shares.command.eq(command), shares.rows.eq(rows)]
        readers: list[StoreReader] = []
        idle = []
        for port, write in enumerate(self.o_write):
            descriptors = StoreDescriptors(config=config)
            reader = StoreReader(config=config)
            m.submodules[f"descriptors{port}"] = descriptors
            m.submodules[f"reader{port}"] = reader
            m.d.comb += descriptors.step.eq(self.step)
            for part in (descriptors, reader):
                m.d.comb += [
                    part.command.eq(command),
                    part.share.eq(shares.o[port]),
                    part.start.eq(runner.start),
                ]
                idle.append(part.idle)
            wiring.connect(m, descriptors.o, wiring.flipped(write.descriptor))
            wiring.connect(m, reader.o, wiring.flipped(write.data))
            readers.append(reader)
        self._share_memory(m, readers, command.exponents)

        m.d.comb += [
            runner.finished.eq(Cat(*idle).all()),
            self.busy.eq(runner.busy),
        ]
        return m

    def _share_memory(self, m: Module, readers: list[StoreReader], exponents: Value) -> None:
        """Requests of all ports in turn through a register slice; words back to the port that
        asked.
        """
        ports = len(readers)
        request = data.StructLayout({"address": ADDRESS_BITS, "owner": ports})
        m.submodules.requests = requests = Skid(shape=request)
        sources = [reader.o_read.address for reader in readers]
        chosen = take_turns(m, sources, requests.i.ready)
        m.d.comb += [requests.i.valid.eq(chosen.any()), requests.i.payload.owner.eq(chosen)]
        for choice, source in zip(chosen, sources, strict=True):
            with m.If(choice):
                m.d.comb += requests.i.payload.address.eq(source.payload)
        asks, asked = self.o_read.address, requests.o
        m.d.comb += [
            asks.valid.eq(asked.valid),
            asks.payload.eq(asked.payload.address),
            asked.ready.eq(asks.ready),
        ]
        granted = asked.payload.owner & (asks.valid & asks.ready).replicate(ports)
        latency = ActivationMemory.READ_LATENCY["storer"]
        owner = delayed(m, granted, latency, "owner", reset_less=False)
        word = Signal.like(self.o_read.data.payload)
        # The readers leave out what is behind an exponent.
        m.d.comb += [
            word.eq(self.o_read.data.payload),
            word[:8].eq(Mux(exponents, self.o_read.exponent, self.o_read.data.payload[:8])),
        ]
        for port, reader in enumerate(readers):
            m.d.comb += [
                reader.o_read.data.valid.eq(owner[port]),
                reader.o_read.data.payload.eq(word),
            ]
