# SPDX-License-Identifier: Apache-2.0
"""Softmax unit: softmax of whole rows of INT16 scores in activation memory, in place."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.baseline.row_maximum import RowMaximum, row_maximum_layout
from rtl_gen.baseline.row_probabilities import RowProbabilities, probability_word_layout
from rtl_gen.baseline.softmax_rows import SoftmaxRows, key_range
from rtl_gen.blocks.command_runner import CommandRunner
from rtl_gen.blocks.queue import Queue
from rtl_gen.interfaces.command import COMMAND_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS, memory_write_layout
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.memory.row_reader import ROWS_AHEAD, buffered_layout, row_layout, word_layout

__all__ = ["SoftmaxUnit"]

_OUTPUT_WORDS = 16
"""Words of probabilities between the pop of their scores and the memory's write port."""


class SoftmaxUnit(wiring.Component):
    """SOFTMAX: numerics.softmax_row of every row over the keys it sees, probabilities in place of
    the scores.

    The first pass over a row takes its maximum, the second one the exponentials and their sum;
    SoftmaxRows says which words and how many keys a row has. Elements are 16 bits, key k in element
    k from word 1 on; word 0 = {u32 total, zeros}.

    Parameters
    ----------
    config: width W, lanes T, max_context, probability_bits.

    Members
    -------
    i_command: In stream of COMMAND_BITS, SOFTMAX commands only; 1 <= keys and keys(rows - 1) <=
        max_context.
    o_row, o_row_done, i_word, i_buffered: a RowReader, whose words all belong to this unit
        meanwhile.
    o_write: Out stream of memory_write_layout, of client "vector" of ActivationMemory.
    busy: Out(1), from the cycle a command is offered until its last word is in memory.

    A row has been read as a whole before its first word is replaced, because its maximum is needed
    first; rows must not overlap. Words that hold no visible key are read and written like the
    others.
    Latency: `busy` for words * (1 + C) + fixed_cycles(config) cycles with one row of `words` words
    of scores and no stalls, C = RowProbabilities.word_cycles. Throughput: max(words * C, words + 1)
    cycles per row: exponentials, or the write port. Back-pressure: reads and writes may stall at
        any time. Rounding: numerics.softmax_row, exactly.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "o_row": Out(stream.Signature(row_layout())),
                "o_row_done": Out(1),
                "i_word": In(stream.Signature(word_layout(config), always_ready=True)),
                "i_buffered": In(stream.Signature(buffered_layout(config))),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "busy": Out(1),
            }
        )

    @staticmethod
    def fixed_cycles(config: AcceleratorConfig) -> int:
        """Cycles of a command beside reading the words of its only row and taking their
        exponentials.
        """
        units = RowProbabilities.units(config)
        return 26 + (config.width // 2).bit_length() - 1 + units.bit_length() - 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        runner = CommandRunner(m, self.i_command, opcode=Opcode.SOFTMAX, prepare_cycles=0)
        m.d.comb += self.busy.eq(runner.busy)
        command, start = runner.command, runner.start
        self._first_pass(m, command, start)
        word_written = self._second_pass(m)
        self._write(m, command, start, word_written, runner.finished)
        return m

    def _first_pass(self, m: Module, command: data.View, start: Value) -> None:
        """Rows to the reader, their words to the queue of maxima."""
        config = self._config
        # A row is done when its total is written, so queues with an entry per row never overflow.
        m.submodules.rows = rows = SoftmaxRows(config=config)
        m.submodules.keys = keys = Queue(shape=key_range(config), depth=ROWS_AHEAD, direct=True)
        m.submodules.maximum = maximum = RowMaximum(config=config)
        m.submodules.maxima = maxima = Queue(
            shape=row_maximum_layout(config), depth=ROWS_AHEAD, direct=True
        )
        connect(m, flipped(self.i_word), maximum.i)
        connect(m, keys.o, maximum.i_keys)
        m.d.comb += [
            rows.command.eq(command),
            rows.start.eq(start),
            self.o_row.valid.eq(rows.o.valid),
            self.o_row.payload.address.eq(rows.o.payload.address),
            self.o_row.payload.words.eq(rows.o.payload.words),
            rows.o.ready.eq(self.o_row.ready),
            keys.i.valid.eq(rows.o.valid & rows.o.ready),
            keys.i.payload.eq(rows.o.payload.keys),
            maxima.i.valid.eq(maximum.o.valid),
            maxima.i.payload.eq(maximum.o.payload),
        ]

    def _second_pass(self, m: Module) -> Signal:
        """Buffered words to the queues of probabilities and totals; returns the strobe that a word
        is written.
        """
        config = self._config
        maxima = m.submodules.maxima
        m.submodules.probabilities = second = RowProbabilities(config=config)
        m.submodules.words = words = Queue(
            shape=probability_word_layout(config), depth=_OUTPUT_WORDS, direct=True
        )
        m.submodules.totals = totals = Queue(shape=sum_bits(config), depth=ROWS_AHEAD, direct=True)
        written = Signal()
        credits = Signal(range(_OUTPUT_WORDS + 1), init=_OUTPUT_WORDS)
        m.d.sync += credits.eq(credits - second.o_begun + written)
        connect(m, flipped(self.i_buffered), second.i)
        connect(m, maxima.o, second.i_row)
        m.d.comb += [
            second.i_credit.eq(credits.any()),
            words.i.valid.eq(second.o.valid),
            words.i.payload.eq(second.o.payload),
            totals.i.valid.eq(second.o_total.valid),
            totals.i.payload.eq(second.o_total.payload),
        ]
        return written

    def _write(
        self,
        m: Module,
        command: data.View,
        start: Value,
        word_written: Signal,
        finished: Signal,
    ) -> None:
        """Totals, which go first, and words to the write port, and the end of the command."""
        config = self._config
        words, totals = m.submodules.words, m.submodules.totals
        word = words.o.payload
        chosen = Signal()
        held = Signal()
        held_choice = Signal()
        total_written = Signal()
        taken = self.o_write.valid & self.o_write.ready
        m.d.comb += [
            # What has been offered stays until it is taken.
            chosen.eq(Mux(held, held_choice, totals.o.valid)),
            self.o_write.valid.eq(totals.o.valid | words.o.valid),
            total_written.eq(taken & chosen),
            word_written.eq(taken & ~chosen),
            totals.o.ready.eq(total_written),
            words.o.ready.eq(word_written),
            self.o_row_done.eq(total_written),
        ]
        m.d.sync += [held.eq(self.o_write.valid & ~self.o_write.ready), held_choice.eq(chosen)]

        row_address = Signal(ADDRESS_BITS, reset_less=True)
        address = Signal(ADDRESS_BITS, reset_less=True)
        total_address = Signal(ADDRESS_BITS, reset_less=True)
        rows_left = Signal(len(command.rows))
        padding = Const(0, 16 - config.probability_bits)
        elements = Cat(Cat(word.data[index], padding) for index in range(config.width // 2))
        m.d.comb += [
            self.o_write.payload.mask.eq(-1),
            self.o_write.payload.address.eq(Mux(chosen, total_address, address)),
            self.o_write.payload.data.eq(Mux(chosen, totals.o.payload, elements)),
            # A row's total comes after its last words, so nothing is on its way to an empty queue.
            finished.eq((rows_left == 0) & ~words.o.valid),
        ]
        with m.If(start):
            m.d.sync += [
                row_address.eq(command.source + 1),
                address.eq(command.source + 1),
                total_address.eq(command.source),
                rows_left.eq(command.rows),
            ]
        with m.If(word_written):
            m.d.sync += address.eq(address + 1)
            with m.If(word.last):
                m.d.sync += [
                    row_address.eq(row_address + command.source_stride),
                    address.eq(row_address + command.source_stride),
                ]
        with m.If(total_written):
            m.d.sync += [
                total_address.eq(total_address + command.source_stride),
                rows_left.eq(rows_left - 1),
            ]
