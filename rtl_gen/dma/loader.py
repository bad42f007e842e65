# SPDX-License-Identifier: Apache-2.0
"""Loader: the execute part of LOAD, beats of all ports to words of the on-chip memories."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode, Space
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.command_runner import CommandRunner
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.turns import take_turns
from rtl_gen.dma.port_rows import PortShares, multiples, run_rows
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.dma import BEAT_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS, MemoryWriteSignature
from rtl_gen.interfaces.norm import norm_write_layout
from rtl_gen.interfaces.row_set import ROW_BITS, row_count

__all__ = ["Loader", "load_word_layout"]


def load_word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word that a LOAD brings: its address in its space, and its W bytes."""
    return data.StructLayout({"address": ADDRESS_BITS, "data": 8 * config.width})


class _PortAssembler(wiring.Component):
    """The port's rows (see port_rows): beats to words, first beat in the low bytes, and their
    addresses.

    `stride` and `row_words` are stable from 2 cycles before `start` on, `first` (the word of the
    port's first row) and `rows` in the cycle of `start`.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "first": In(ADDRESS_BITS),
                "stride": In(STRIDE_BITS),
                "row_words": In(ROW_BITS),
                "rows": In(ROW_BITS),
                "i": In(stream.Signature(BEAT_BITS)),
                "o": Out(stream.Signature(load_word_layout(config))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        active = Signal()
        # What is behind a row and behind a word of it, and whether that is nothing: no number is
        # compared in the cycle in which a beat comes.
        later_rows = Signal(ROW_BITS, reset_less=True)
        last_row = Signal(reset_less=True)
        later_words = Signal(ROW_BITS, reset_less=True)
        last_word = Signal(reset_less=True)
        row_later_words = Signal(ROW_BITS, reset_less=True)
        single_word = Signal(reset_less=True)
        any_word = Signal(reset_less=True)
        beat = Signal(range(max(2, config.word_beats)))
        row_address = Signal(ADDRESS_BITS, reset_less=True)
        address = Signal(ADDRESS_BITS, reset_less=True)
        completes = beat == config.word_beats - 1
        taken = self.i.valid & self.i.ready
        # Whether the word before leaves in this cycle is known late. Only words of one beat wait to
        # know it, as they could be taken in every other cycle otherwise.
        full = self.o.valid & ~self.o.ready if config.word_beats == 1 else self.o.valid
        whole = self.i.payload
        if config.word_beats > 1:
            earlier = Signal(8 * (config.width - BEAT_BYTES), reset_less=True)
            whole = Cat(earlier, whole)
            with m.If(taken):
                m.d.sync += earlier.eq(whole[BEAT_BITS:])
        m.d.comb += [
            # A beat that completes a word needs the output register, the others do not.
            self.i.ready.eq(active & ~(completes & full)),
            self.idle.eq(~active & ~self.o.valid),
        ]
        m.d.sync += [
            row_later_words.eq(self.row_words - 1),
            single_word.eq(self.row_words == 1),
            any_word.eq(self.row_words.any()),
        ]
        word = payload_register(m, self.o.payload, "word")
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [
                active.eq(self.rows.any() & any_word),
                later_rows.eq(self.rows - 1),
                last_row.eq(self.rows == 1),
                later_words.eq(row_later_words),
                last_word.eq(single_word),
                beat.eq(0),
                row_address.eq(self.first),
                address.eq(self.first),
            ]
        with m.Elif(taken):
            m.d.sync += beat.eq(beat + 1)
            with m.If(completes):
                m.d.sync += [
                    beat.eq(0),
                    self.o.valid.eq(1),
                    word.data.eq(whole),
                    word.address.eq(address),
                    later_words.eq(later_words - 1),
                    last_word.eq(later_words == 1),
                    address.eq(address + 1),
                ]
                with m.If(last_word):
                    m.d.sync += [
                        later_words.eq(row_later_words),
                        last_word.eq(single_word),
                        later_rows.eq(later_rows - 1),
                        last_row.eq(later_rows == 1),
                        row_address.eq(row_address + self.stride),
                        address.eq(row_address + self.stride),
                        active.eq(~last_row),
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
    o_write: Out(MemoryWriteSignature), client "loader" of ActivationMemory; `ready`, which comes
        late in the cycle, moves the word that is offered and says which port may follow.
    o_norm: Out stream of norm_write_layout without back-pressure, `i_norm` of VectorUnit.
    o_table: Out stream of {address, data}, words of the activation table; the writer may take many
        cycles for one.
    busy: Out(1), from the cycle a command is offered until its last word has been taken by its
        space.

    Order: rows of different ports may reach memory in any order. Latency: LATENCY cycles from a
    word's last beat to `o_write`; PREPARE_CYCLES from the cycle behind a command's transfer to the
    start of its ports. Throughput: one beat per cycle and port, one word per cycle in
    total; ports take turns.
    """

    LATENCY = 2
    PREPARE_CYCLES = 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "i_beats": In(stream.Signature(BEAT_BITS)).array(config.ports),
                "o_write": Out(MemoryWriteSignature(config)),
                "o_norm": Out(stream.Signature(norm_write_layout(config), always_ready=True)),
                "o_table": Out(stream.Signature(load_word_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        runner = CommandRunner(
            m, self.i_command, opcode=Opcode.LOAD, prepare_cycles=self.PREPARE_CYCLES
        )
        command = runner.command
        rows = Signal(ROW_BITS, reset_less=True)
        to_norm = Signal()
        to_table = Signal()
        with m.If(runner.idle):
            offered = runner.offered
            m.d.sync += [
                rows.eq(row_count(self.step, offered.row_set, offered.rows)),
                to_norm.eq(offered.space == Space.NORM.value),
                to_table.eq(offered.space == Space.TABLE.value),
            ]
        # The run of rows, then its words with the multiplier's two registers, then those of p runs.
        run = Signal(ROW_BITS, reset_less=True)
        run_product = Signal(ADDRESS_BITS, reset_less=True)
        run_words = Signal(ADDRESS_BITS, reset_less=True)
        m.submodules.shares = shares = PortShares(bits=ROW_BITS, ports=config.ports)
        m.d.sync += [
            run.eq(run_rows(rows, config.ports)),
            run_product.eq(run * command.destination_stride),
            run_words.eq(run_product),
        ]
        m.d.comb += [shares.total.eq(rows), shares.run.eq(run)]
        skipped_words = multiples(m, run_words, config.ports, "skipped_words")
        assemblers = []
        for port, beats in enumerate(self.i_beats):
            m.submodules[f"port{port}"] = assembler = _PortAssembler(config=config)
            wiring.connect(m, wiring.flipped(beats), assembler.i)
            m.d.comb += [
                assembler.start.eq(runner.start),
                assembler.first.eq(command.destination + skipped_words[port]),
                assembler.stride.eq(command.destination_stride),
                assembler.row_words.eq(command.row_beats >> (config.word_beats.bit_length() - 1)),
                assembler.rows.eq(shares.count[port]),
            ]
            assemblers.append(assembler)

        valid = Signal()
        word = Signal(load_word_layout(config), reset_less=True)
        write = self.o_write.word
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
        free = ~valid | to_norm | Mux(to_table, self.o_table.ready, write.ready)
        chosen = take_turns(m, [assembler.o for assembler in assemblers], free)
        with m.If(free):
            m.d.sync += valid.eq(chosen.any())
            for choice, assembler in zip(chosen, assemblers, strict=True):
                with m.If(choice):
                    m.d.sync += word.eq(assembler.o.payload)
        return m
