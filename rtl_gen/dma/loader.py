# SPDX-License-Identifier: Apache-2.0
"""Loader: the execute part of LOAD, beats of all ports to words of the on-chip memories."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode, Space
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.dma.port_rows import first_row, share
from rtl_gen.interfaces.command import (
    COMMAND_BITS,
    INDEX_BITS,
    command_index,
    command_layout,
    step_layout,
)
from rtl_gen.interfaces.memory import ADDRESS_BITS, memory_write_layout
from rtl_gen.interfaces.norm import norm_write_layout
from rtl_gen.interfaces.row_set import ROW_BITS, row_count

__all__ = ["Loader"]


class _State(enum.Enum, shape=3):
    IDLE = 0
    PREPARE = 1
    SHARE = 2
    MULTIPLY = 3
    START = 4
    RUN = 5


def _word_layout(config: AcceleratorConfig) -> data.StructLayout:
    return data.StructLayout({"address": ADDRESS_BITS, "data": 8 * config.width})


class _PortAssembler(wiring.Component):
    """The port's rows (see port_rows): beats to words, first beat in the low bytes, and their
    addresses.

    `destination` and so on are stable from 3 cycles before `start` on.
    """

    def __init__(self, *, config: AcceleratorConfig, port: int) -> None:
        self._config = config
        self._port = port
        super().__init__(
            {
                "start": In(1),
                "destination": In(ADDRESS_BITS),
                "stride": In(12),
                "row_words": In(ROW_BITS),
                "rows": In(ROW_BITS),
                "i": In(stream.Signature(8 * BEAT_BYTES)),
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
                m.d.sync += earlier.eq(whole[8 * BEAT_BYTES :])
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
    config : width W, ports P.

    Members
    -------
    i_command : In(stream, COMMAND_BITS), LOAD commands. step : In(step_layout).
    i_beats_{p} : In(stream, 128 bits), the beats of LOADs in the order of the port's descriptors:
        the rows of the port (see port_rows) of one LOAD after the other. Beats of later commands
        wait.
    o_write : client "loader" of ActivationMemory. o_norm : Out(stream, norm_write_layout), `i_norm`
        of VectorUnit.
    o_table : Out(stream, {address, data}), words of the activation table; the writer may take many
        cycles for one.
    busy : Out(1), from the cycle a command is offered until its last word has been taken by its
        space. busy_command : Out(INDEX_BITS), its index.

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
                **{
                    f"i_beats_{port}": In(stream.Signature(8 * BEAT_BYTES))
                    for port in range(config.ports)
                },
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "o_norm": Out(stream.Signature(norm_write_layout(config))),
                "o_table": Out(stream.Signature(_word_layout(config))),
                "busy": Out(1),
                "busy_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        state = Signal(_State)
        command = Signal(command_layout(Opcode.LOAD), reset_less=True)
        rows = Signal(ROW_BITS)
        to_norm = Signal()
        to_table = Signal()
        assemblers = []
        for port in range(config.ports):
            m.submodules[f"port{port}"] = assembler = _PortAssembler(config=config, port=port)
            wiring.connect(m, wiring.flipped(getattr(self, f"i_beats_{port}")), assembler.i)
            m.d.comb += [
                assembler.start.eq(state == _State.START),
                assembler.destination.eq(command.destination),
                assembler.stride.eq(command.destination_stride),
                assembler.row_words.eq(command.row_beats >> (config.word_beats.bit_length() - 1)),
                assembler.rows.eq(rows),
            ]
            assemblers.append(assembler)

        valid = Signal()
        word = Signal(assemblers[0].o.payload.shape(), reset_less=True)
        taken = Mux(
            to_norm, self.o_norm.ready, Mux(to_table, self.o_table.ready, self.o_write.ready)
        )
        m.d.comb += [
            self.o_write.valid.eq(valid & ~to_norm & ~to_table),
            self.o_write.payload.address.eq(word.address),
            self.o_write.payload.data.eq(word.data),
            self.o_write.payload.mask.eq(-1),
            self.o_norm.valid.eq(valid & to_norm),
            self.o_norm.payload.address.eq(word.address),
            self.o_norm.payload.data.eq(word.data),
            self.o_table.valid.eq(valid & to_table),
            self.o_table.payload.eq(word),
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
        turn = Signal(range(max(2, config.ports)))
        free = ~valid | taken
        with m.If(free):
            m.d.sync += valid.eq(Cat(*(assembler.o.valid for assembler in assemblers)).any())
        with m.Switch(turn):
            for first in range(config.ports):
                with m.Case(first):
                    higher: Value = Const(0, 1)
                    for number in range(config.ports):
                        port = (first + number) % config.ports
                        source = assemblers[port].o
                        m.d.comb += source.ready.eq(free & ~higher)
                        with m.If(free & source.valid & ~higher):
                            m.d.sync += [
                                word.eq(source.payload),
                                turn.eq((port + 1) % config.ports),
                            ]
                        higher = higher | source.valid

        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += command.as_value().eq(self.i_command.payload)
                with m.If(self.i_command.valid):
                    m.d.sync += state.eq(_State.PREPARE)
            with m.Case(_State.PREPARE):
                m.d.sync += [
                    rows.eq(row_count(self.step, command.row_set, command.rows)),
                    to_norm.eq(command.space == Space.NORM.value),
                    to_table.eq(command.space == Space.TABLE.value),
                    state.eq(_State.SHARE),
                ]
            with m.Case(_State.SHARE):
                m.d.sync += state.eq(_State.MULTIPLY)
            with m.Case(_State.MULTIPLY):
                m.d.sync += state.eq(_State.START)
            with m.Case(_State.START):
                m.d.sync += state.eq(_State.RUN)
            with m.Case(_State.RUN):
                with m.If(Cat(*(part.idle for part in assemblers)).all() & ~valid):
                    m.d.sync += state.eq(_State.IDLE)
        return m
