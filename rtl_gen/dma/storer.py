# SPDX-License-Identifier: Apache-2.0
"""Storer: STORE commands, rows of activation memory to segments in DRAM."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.dma.store_descriptors import StoreDescriptors
from rtl_gen.dma.store_reader import StoreReader
from rtl_gen.dma.store_share import StoreShare
from rtl_gen.interfaces.command import (
    COMMAND_BITS,
    INDEX_BITS,
    command_index,
    command_layout,
    step_layout,
)
from rtl_gen.interfaces.dma import WRITE_DESCRIPTOR
from rtl_gen.interfaces.memory import ADDRESS_BITS, memory_read_layout
from rtl_gen.interfaces.row_set import ROW_BITS, row_count
from rtl_gen.memory.activation_memory import ActivationMemory

__all__ = ["Storer"]


class _State(enum.Enum, shape=3):
    IDLE = 0
    PREPARE = 1
    SHARE = 2
    ADDRESS = 3
    START = 4
    RUN = 5


class Storer(wiring.Component):
    """Segment j of row r goes to beat offset + j*segment_stride + r*segment_beats, or in the cache
    of its sequence (see StoreDescriptors), through port j mod P if segments >= P, else rows are
    dealt out in runs (see StoreShare).

    Parameters
    ----------
    config : width W, ports P, the sequence table.

    Members
    -------
    i_command : In(stream, COMMAND_BITS), STORE commands. step : In(step_layout).
    o_read, i_read : client "storer" of ActivationMemory; relies on its fixed LATENCY.
    o_write_{p} : Out(stream, WRITE_DESCRIPTOR); o_write_data_{p} : Out(stream, 128 bits), all beats
        of descriptor n before those of n+1. Data may be offered before its descriptor.
    busy : Out(1), from the cycle a command is offered until ports have taken all descriptors and
        data. Write responses are the ports' business. busy_command : Out(INDEX_BITS), its index.

    Ports run independently; they take turns at the memory's read port. Throughput: one word per
    cycle in total, one beat
    per cycle and port: P beats per cycle while P <= segment beats in a word.
    """

    LATENCY = 7

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        ports = range(config.ports)
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_read": Out(stream.Signature(ADDRESS_BITS)),
                "i_read": In(memory_read_layout(config)),
                **{f"o_write_{port}": Out(stream.Signature(WRITE_DESCRIPTOR)) for port in ports},
                **{f"o_write_data_{port}": Out(stream.Signature(8 * BEAT_BYTES)) for port in ports},
                "busy": Out(1),
                "busy_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        state = Signal(_State)
        command = Signal(command_layout(Opcode.STORE), reset_less=True)
        rows = Signal(ROW_BITS)
        readers: list[StoreReader] = []
        idle = []
        for port in range(config.ports):
            share = StoreShare(config=config, port=port)
            descriptors = StoreDescriptors(config=config)
            reader = StoreReader(config=config)
            m.submodules[f"share{port}"] = share
            m.submodules[f"descriptors{port}"] = descriptors
            m.submodules[f"reader{port}"] = reader
            m.d.comb += [
                descriptors.step.eq(self.step),
                share.command.eq(command),
                share.rows.eq(rows),
            ]
            for part in (descriptors, reader):
                m.d.comb += [
                    part.command.eq(command),
                    part.share.eq(share.o),
                    part.start.eq(state == _State.START),
                ]
                idle.append(part.idle)
            wiring.connect(m, descriptors.o, wiring.flipped(getattr(self, f"o_write_{port}")))
            wiring.connect(m, reader.o, wiring.flipped(getattr(self, f"o_write_data_{port}")))
            readers.append(reader)
        self._share_memory(m, readers)

        m.d.comb += [
            self.i_command.ready.eq(state == _State.IDLE),
            self.busy.eq(self.i_command.valid | (state != _State.IDLE)),
            self.busy_command.eq(
                Mux(
                    state == _State.IDLE,
                    command_index(self.i_command.payload),
                    command_index(command.as_value()),
                )
            ),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += command.as_value().eq(self.i_command.payload)
                with m.If(self.i_command.valid):
                    m.d.sync += state.eq(_State.PREPARE)
            with m.Case(_State.PREPARE):
                m.d.sync += [
                    rows.eq(row_count(self.step, command.row_set, command.rows)),
                    state.eq(_State.SHARE),
                ]
            with m.Case(_State.SHARE):
                m.d.sync += state.eq(_State.ADDRESS)
            with m.Case(_State.ADDRESS):
                m.d.sync += state.eq(_State.START)
            with m.Case(_State.START):
                m.d.sync += state.eq(_State.RUN)
            with m.Case(_State.RUN):
                with m.If(Cat(*idle).all()):
                    m.d.sync += state.eq(_State.IDLE)
        return m

    def _share_memory(self, m: Module, readers: list[StoreReader]) -> None:
        """Requests of all ports in turn through one register; words back to the port that asked."""
        ports = len(readers)
        pending = Signal(ports)
        address = Signal(ADDRESS_BITS, reset_less=True)
        turn = Signal(range(max(2, ports)))
        free = ~pending.any() | self.o_read.ready
        m.d.comb += [self.o_read.valid.eq(pending.any()), self.o_read.payload.eq(address)]
        with m.If(free):
            m.d.sync += pending.eq(0)
        with m.Switch(turn):
            for first in range(ports):
                with m.Case(first):
                    higher: Value = Const(0, 1)
                    for number in range(ports):
                        port = (first + number) % ports
                        source = readers[port].o_read
                        m.d.comb += source.ready.eq(free & ~higher)
                        with m.If(free & source.valid & ~higher):
                            m.d.sync += [
                                pending.eq(1 << port),
                                address.eq(source.payload),
                                turn.eq((port + 1) % ports),
                            ]
                        higher = higher | source.valid
        asked = Signal(ports)
        m.d.comb += asked.eq(pending & self.o_read.ready.replicate(ports))
        owner = delayed(m, asked, ActivationMemory.LATENCY, "owner", reset_less=False)
        for port, reader in enumerate(readers):
            m.d.comb += [
                reader.i_read.valid.eq(owner[port]),
                reader.i_read.data.eq(self.i_read.data),
            ]
