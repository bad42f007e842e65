# SPDX-License-Identifier: Apache-2.0
"""Result writer: takes result words from the array to the activation memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import ResultMode, SecondOperand, result_modes_with
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.short_queue import ShortQueue
from rtl_gen.blocks.word_rounding import WordRounding
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.epilogue import is_one_of
from rtl_gen.interfaces.memory import (
    ADDRESS_BITS,
    MemoryReadSignature,
    MemoryWriteSignature,
    memory_write_layout,
)
from rtl_gen.interfaces.result import (
    CANDIDATE,
    result_word_layout,
    row_range,
    writer_depth,
)
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.writer.activation_table import table_write_layout
from rtl_gen.writer.argmax import ArgMax
from rtl_gen.writer.element_functions import LOOKING_UP, ElementFunctions

__all__ = ["ResultWriter"]

_OUTPUT_WORDS = 32
"""Words between their issue and the memory's write port; covers this part of LATENCY at one word
per cycle.
"""
_SUM_LATENCY = ActivationMemory.READ_LATENCY["writer"] + 2
"""Issue to the saturated sum of ADD16."""
_RESULT_LATENCY = ElementFunctions.LATENCY + 1
"""Issue to the result of any mode, before halves are put together."""
_WORD_LATENCY = _RESULT_LATENCY + WordRounding.LATENCY + 1
"""Issue to the word that is written."""

_ADDRESSED = result_modes_with(lambda epilogue: epilogue.second == SecondOperand.DESTINATION)
_OPERAND = result_modes_with(lambda epilogue: epilogue.operand)
_COMPARED = result_modes_with(lambda epilogue: epilogue.arg_max)
_HALVED = result_modes_with(lambda epilogue: epilogue.halves)
"""Result modes that read the word at `address`, that read the one at `operand`, and so on."""
_PASSED = (ResultMode.WRITE, ResultMode.ADD16, ResultMode.LOGITS16, ResultMode.WORD)
"""Result modes without a function: the elements themselves, or their sum with the word at
`address`. All others are among ElementFunctions.
"""


class ResultWriter(wiring.Component):
    """WRITE: memory[address] = data. ADD16: memory[address][i] = sat16(memory[address][i] +
    data[i]). LOGITS16: as WRITE, and ArgMax over the word. TABLE16: memory[address] = the W/2
    elements of ElementFunctions. All with exponent 0. Only 16-byte parts of `mask` change.

    TABLE, ROTATE8 and GATE: half `half` of a word of W values = the W/2 elements of
    ElementFunctions, with the word at `operand` (ROTATE8, GATE). WORD: that half = data.
    memory[address] = the bytes of WordRounding of both halves, with its exponent; that of ROTATE8
    is 0, because its elements are within -127..127.

    Parameters
    ----------
    config: width W, lanes T (writer_depth words and T halves are buffered).

    Members
    -------
    i_result: In stream of result_word_layout without back-pressure. The sender keeps at most
        writer_depth(config) words between `i_result` and `o_retired`. ADD16 words that are not
        retired must have different addresses. The word at `operand` must not be one that an earlier
        word writes which is not retired; later words may replace it.
    o_retired: Out(1), a pulse per word: reads that the memory grants from this cycle on see it.
    i_table: In stream of table_write_layout, the activation table. No TABLE or TABLE16 word may be
        between `i_result` and `o_retired` when a word is offered; those that come later wait until
        it is in the table.
    o_read: Out(MemoryReadSignature), client "writer" of ActivationMemory; relies on its fixed
        LATENCY.
    o_write: Out(MemoryWriteSignature), client "writer" of ActivationMemory.
    i_candidate_row, o_candidate: read port of the arg-max candidates, ArgMax.READ_LATENCY cycles.
    busy: Out(1), 1 from the first word on until every word is retired and in the arg-max, and while
        a table word is offered or on its way.

    Halves: the W/2 elements of a word with half = 0 wait in a queue of T entries and are written
    together with those of half = 1, as one word, at the address of half 1; k-th half 1 to k-th half
    0. Their masks are all ones, since an exponent belongs to a whole word. A half 0 is retired when
    its turn to be written would have come, although the memory shows it only with its half 1, and
    does not keep `busy` at 1 while it waits. So words that are made of the words of a row may
    replace them one after the other: word j is written after 2j and 2j+1 have been read. A reset
    forgets the waiting halves with everything else that is not written; table and memory stay.

    Order: words reach the memory in the order they came, whatever their modes: all have the same
    latency. Latency: LATENCY cycles from `i_result` to `o_retired` when idle. Throughput: one word
    per cycle in every mode while the memory grants reads and writes. Rounding half up (WordRounding
    and ElementFunctions), saturation to 16 bits (ADD16, GATE) or to -127..127.
    """

    LATENCY = 7 + _WORD_LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_result": In(stream.Signature(result_word_layout(config), always_ready=True)),
                "o_retired": Out(1),
                "i_table": In(stream.Signature(table_write_layout(config))),
                "o_read": Out(MemoryReadSignature(config)),
                "o_write": Out(MemoryWriteSignature(config)),
                "i_candidate_row": In(row_range(config)),
                "o_candidate": Out(CANDIDATE),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        layout = result_word_layout(config)
        m.submodules.queue = queue = Queue(shape=layout, depth=writer_depth(config), style="block")
        head_valid = Signal()
        head = Signal(layout, reset_less=True)
        reads = Signal(reset_less=True)
        looks_up = Signal(reset_less=True)
        read_address = Signal(ADDRESS_BITS, reset_less=True)
        issue = Signal()
        take = Signal()
        offered = queue.o.payload
        m.d.comb += [
            queue.i.valid.eq(self.i_result.valid),
            queue.i.payload.eq(self.i_result.payload),
            take.eq(~head_valid | issue),
            queue.o.ready.eq(take),
        ]
        with m.If(take):
            m.d.sync += [
                head_valid.eq(queue.o.valid),
                head.eq(offered),
                reads.eq(is_one_of(offered.mode, (*_ADDRESSED, *_OPERAND))),
                looks_up.eq(is_one_of(offered.mode, LOOKING_UP)),
                read_address.eq(
                    Mux(is_one_of(offered.mode, _OPERAND), offered.operand, offered.address)
                ),
            ]

        m.submodules.functions = functions = ElementFunctions(config=config)
        wiring.connect(m, wiring.flipped(self.i_table), functions.i_table)

        # A word is issued with its read and a place reserved behind it, so the pipeline after it
        # never stalls.
        credits = Signal(range(_OUTPUT_WORDS + 1), init=_OUTPUT_WORDS)
        retired = Signal()
        m.d.comb += [
            self.o_read.address.valid.eq(head_valid & reads & credits.any()),
            self.o_read.address.payload.eq(read_address),
            self.o_read.command.eq(head.command),
            issue.eq(
                head_valid
                & credits.any()
                & (~reads | self.o_read.address.ready)
                & ~(looks_up & functions.table_busy)
            ),
        ]
        m.d.sync += credits.eq(credits - issue + retired)

        m.d.comb += [
            functions.i_data.eq(head.data),
            functions.i_mode.eq(head.mode),
            functions.i_shift.eq(head.shift),
            functions.i_read.eq(self.o_read.data.payload),
        ]
        entry = data.StructLayout(
            {"waits": 1, "command": INDEX_BITS, "word": memory_write_layout(config)}
        )
        m.submodules.output = output_queue = Queue(shape=entry, depth=_OUTPUT_WORDS, direct=True)
        written = Signal(entry)
        m.d.comb += [
            output_queue.i.valid.eq(delayed(m, issue, _WORD_LATENCY, "valid", reset_less=False)),
            output_queue.i.payload.eq(written),
        ]
        self._words(m, issue, head, functions.o, written)
        first = output_queue.o.payload
        m.d.comb += [
            self.o_write.word.valid.eq(output_queue.o.valid & ~first.waits),
            self.o_write.command.eq(first.command),
            self.o_write.word.payload.eq(first.word),
            output_queue.o.ready.eq(first.waits | self.o_write.word.ready),
            retired.eq(output_queue.o.valid & output_queue.o.ready),
        ]

        m.submodules.argmax = argmax = ArgMax(config=config)
        m.d.comb += [
            argmax.i.valid.eq(issue & is_one_of(head.mode, _COMPARED)),
            argmax.i.payload.row.eq(head.row),
            argmax.i.payload.channel.eq(head.channel),
            argmax.i.payload.elements.eq(head.elements),
            argmax.i.payload.restart.eq(head.restart),
            argmax.i.payload.data.eq(head.data),
            argmax.i_row.eq(self.i_candidate_row),
            self.o_candidate.eq(argmax.o),
        ]

        in_flight = Signal(range(writer_depth(config) + 1))
        m.d.sync += [
            self.o_retired.eq(retired),
            in_flight.eq(in_flight + self.i_result.valid - retired),
        ]
        m.d.comb += self.busy.eq(
            self.i_result.valid
            | in_flight.any()
            | argmax.busy
            | self.o_retired
            | functions.table_busy
        )
        return m

    def _words(
        self, m: Module, issue: Value, head: data.View, computed: Value, written: data.View
    ) -> None:
        """Drive `written`, the entry of the output queue, _WORD_LATENCY cycles after `issue`:
        `waits` is 1 if nothing is written. computed: the elements of the functions.
        """
        config = self._config
        sums = delayed(m, self._sums(m, head), ElementFunctions.LATENCY - _SUM_LATENCY, "sums")
        passes = delayed(m, is_one_of(head.mode, _PASSED), ElementFunctions.LATENCY, "passes")
        result = Signal(8 * config.width, reset_less=True)
        m.d.sync += result.eq(Mux(passes, sums, computed))

        valid = delayed(m, issue, _RESULT_LATENCY, "result_valid", reset_less=False)
        halved = delayed(m, is_one_of(head.mode, _HALVED), _RESULT_LATENCY, "halved")
        upper = delayed(m, head.half, _RESULT_LATENCY, "upper")
        m.submodules.halves = halves = ShortQueue(
            shape=8 * config.width, depth=max(2, config.lanes)
        )
        m.submodules.rounding = rounding = WordRounding(width=config.width)
        m.d.comb += [
            halves.i.valid.eq(valid & halved & ~upper),
            halves.i.payload.eq(result),
            halves.o.ready.eq(valid & halved & upper),
            rounding.i.eq(Cat(halves.o.payload, result)),
        ]
        rounded = delayed(m, halved, WordRounding.LATENCY, "rounded")
        whole = delayed(m, result, WordRounding.LATENCY, "whole")
        word = Signal(8 * config.width, reset_less=True)
        exponent = Signal(EXPONENT_BITS, reset_less=True)
        m.d.sync += [
            word.eq(Mux(rounded, rounding.o, whole)),
            exponent.eq(Mux(rounded, rounding.o_exponent, 0)),
        ]
        m.d.comb += [
            written.waits.eq(delayed(m, halved & ~upper, WordRounding.LATENCY + 1, "waits")),
            written.command.eq(delayed(m, head.command, _WORD_LATENCY, "command")),
            written.word.address.eq(delayed(m, head.address, _WORD_LATENCY, "address")),
            written.word.mask.eq(delayed(m, head.mask, _WORD_LATENCY, "mask")),
            written.word.exponent.eq(exponent),
            written.word.data.eq(word),
        ]

    def _sums(self, m: Module, head: data.View) -> Value:
        """Old data, 0 unless ADD16, plus new data, _SUM_LATENCY cycles after issue."""
        latency = ActivationMemory.READ_LATENCY["writer"]
        adds = delayed(m, head.mode == ResultMode.ADD16, latency, "adds")
        new = delayed(m, head.data, latency, "new")
        elements = []
        for index in range(self._config.width // 2):
            total = Signal(signed(17), name=f"total{index}", reset_less=True)
            result = Signal(16, name=f"result{index}", reset_less=True)
            old = Mux(adds, self.o_read.data.payload.word_select(index, 16), 0).as_signed()
            m.d.sync += [
                total.eq(old + new.word_select(index, 16).as_signed()),
                result.eq(
                    Mux(
                        total[16] == total[15],
                        total[:16],
                        Cat((~total[16]).replicate(15), total[16]),
                    )
                ),
            ]
            elements.append(result)
        return Cat(*elements)
