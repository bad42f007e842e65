# SPDX-License-Identifier: Apache-2.0
"""Loader: the execute part of LOAD, beats of all ports to words of the on-chip memories."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode, Space
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.command_runner import CommandRunner
from rtl_gen.blocks.turns import take_turns
from rtl_gen.dma.port_rows import first_row, share
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.dma import BEAT_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS, MemoryWriteSignature
from rtl_gen.interfaces.norm import norm_write_layout
from rtl_gen.interfaces.row_set import ROW_BITS, row_count

__all__ = ["Loader"]


def _word_layout(config: AcceleratorConfig) -> data.StructLayout:
    return data.StructLayout({"address": ADDRESS_BITS, "data": 8 * config.width})


class _PortAssembler(wiring.Component):
    """The port's rows (see port_rows): beats to words, first beat in the low bytes, and their
    addresses.

    `destination` and so on are stable from PREPARE_CYCLES before `start` on.
    """

    PREPARE_CYCLES = 2

    def __init__(self, *, config: AcceleratorConfig, port: int) -> None:
        self._config = config
        self._port = port
        super().__init__(
            {
                "start": In(1),
                "destination": In(ADDRESS_BITS),
                "stride": In(STRIDE_BITS),
                "row_words": In(ROW_BITS),
                "rows": In(ROW_BITS),
                "i": In(stream.Signature(BEAT_BITS)),
                "o": Out(stream.Signature(_word_layout(config))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        active = Signal()
        skipped = Signal(ROW_BITS)
        count = Signal(ROW_BITS)
        skipped_words = Signal(ADDRESS_BITS)
        rows_left = Signal(ROW_BITS)
        word = Signal(ROW_BITS)
        beat = Signal(range(max(2, config.word_beats)))
        row_address = Signal(ADDRESS_BITS)
        address = Signal(ADDRESS_BITS)
        completes = beat == config.word_beats - 1
        taken = self.i.valid & self.i.ready
        whole = self.i.payload
        if config.word_beats > 1:
            earlier = Signal(8 * (config.width - BEAT_BYTES))
            whole = Cat(earlier, whole)
            with m.If(taken):
                m.d.sync += earlier.eq(whole[BEAT_BITS:])
        m.d.comb += [
            # A beat that completes a word needs the output register, the others do not.
            self.i.ready.eq(active & (~completes | ~self.o.valid | self.o.ready)),
            self.idle.eq(~active & ~self.o.valid),
        ]
        m.d.sync += [
            skipped.eq(first_row(self.rows, config.ports, self._port)),
            count.eq(share(self.rows, config.ports, self._port)),
            skipped_words.eq(skipped * self.stride),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.start):
            first = self.destination + skipped_words
            m.d.sync += [
                active.eq(count.any() & self.row_words.any()),
                rows_left.eq(count),
                word.eq(0),
                beat.eq(0),
                row_address.eq(first),
                address.eq(first),
            ]
        with m.Elif(taken):
            m.d.sync += beat.eq(beat + 1)
            with m.If(completes):
                m.d.sync += [
                    beat.eq(0),
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(whole),
                    self.o.payload.address.eq(address),
                    word.eq(word + 1),
                    address.eq(address + 1),
                ]
                with m.If(word == self.row_words - 1):
                    m.d.sync += [
                        word.eq(0),
                        rows_left.eq(rows_left - 1),
                        row_address.eq(row_address + self.stride),
                        address.eq(row_address + self.stride),
                        active.eq(rows_left != 1),
                    ]
        return m


class Loader(wiring.Component):
    """Word k of row r, W/16 beats, to word destination + r*destination_stride + k of the LOAD's
    space.

    Parameters
    ----------
    config: width W, ports P.

    Members
    -------
    i_command: In stream of COMMAND_BITS, LOAD commands.
    step: In(step_layout).
    i_beats: P In streams of beats, those of LOADs in the order of the port's descriptors: the rows
        of the port (see port_rows) of one LOAD after the other. Beats of later commands wait.
    o_write: Out(MemoryWriteSignature), client "loader" of ActivationMemory.
    o_norm: Out stream of norm_write_layout without back-pressure, `i_norm` of VectorUnit.
    o_table: Out stream of {address, data}, words of the activation table; the writer may take many
        cycles for one.
    busy: Out(1), from the cycle a command is offered until its last word has been taken by its
        space.

    Order: rows of different ports may reach memory in any order. Latency: LATENCY cycles from a
    word's last beat to `o_write`. Throughput: one beat per cycle and port, one word per cycle in
    total; ports take turns.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "i_beats": In(stream.Signature(BEAT_BITS)).array(config.ports),
                "o_write": Out(MemoryWriteSignature(config)),
                "o_norm": Out(stream.Signature(norm_write_layout(config), always_ready=True)),
                "o_table": Out(stream.Signature(_word_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        runner = CommandRunner(
            m, self.i_command, opcode=Opcode.LOAD, prepare_cycles=1 + _PortAssembler.PREPARE_CYCLES
        )
        command = runner.command
        rows = Signal(ROW_BITS)
        to_norm = Signal()
        to_table = Signal()
        with m.If(runner.prepare):
            m.d.sync += [
                rows.eq(row_count(self.step, command.row_set, command.rows)),
                to_norm.eq(command.space == Space.NORM.value),
                to_table.eq(command.space == Space.TABLE.value),
            ]
        assemblers = []
        for port, beats in enumerate(self.i_beats):
            m.submodules[f"port{port}"] = assembler = _PortAssembler(config=config, port=port)
            wiring.connect(m, wiring.flipped(beats), assembler.i)
            m.d.comb += [
                assembler.start.eq(runner.start),
                assembler.destination.eq(command.destination),
                assembler.stride.eq(command.destination_stride),
                assembler.row_words.eq(command.row_beats >> (config.word_beats.bit_length() - 1)),
                assembler.rows.eq(rows),
            ]
            assemblers.append(assembler)

        valid = Signal()
        word = Signal(assemblers[0].o.payload.shape(), reset_less=True)
        write = self.o_write.word
        taken = to_norm | Mux(to_table, self.o_table.ready, write.ready)
        m.d.comb += [
            write.valid.eq(valid & ~to_norm & ~to_table),
            write.payload.address.eq(word.address),
            write.payload.data.eq(word.data),
            write.payload.mask.eq(-1),
            self.o_norm.valid.eq(valid & to_norm),
            self.o_norm.payload.address.eq(word.address),
            self.o_norm.payload.data.eq(word.data),
            self.o_table.valid.eq(valid & to_table),
            self.o_table.payload.eq(word),
            runner.finished.eq(Cat(*(part.idle for part in assemblers)).all() & ~valid),
            self.busy.eq(runner.busy),
        ]
        free = ~valid | taken
        transfers = take_turns(m, [assembler.o for assembler in assemblers], free)
        with m.If(free):
            m.d.sync += valid.eq(transfers.any())
        for transfer, assembler in zip(transfers, assemblers, strict=True):
            with m.If(transfer):
                m.d.sync += word.eq(assembler.o.payload)
        return m
