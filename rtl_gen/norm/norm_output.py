# SPDX-License-Identifier: Apache-2.0
"""Results of the norm's lanes to words of the activation memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.short_queue import ShortQueue
from rtl_gen.blocks.word_rounding import WordRounding
from rtl_gen.interfaces.command import command_layout
from rtl_gen.interfaces.memory import ADDRESS_BITS, memory_write_layout
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["NormOutput"]

_WORDS = 32
"""Words between the admission of their elements and the memory's write port: covers the way through
the lanes and WordRounding.
"""


class NormOutput(wiring.Component):
    """Words with exponents at the destination and, with `residual`, INT16 words in place of the
    source.

    The elements of two INT16 words give one word of bytes, WordRounding of them; with `residual`
    the order is INT16, INT16, bytes. INT16 words have exponent 0.

    Parameters
    ----------
    config: width W (W/2 elements at a time).

    Members
    -------
    command: In(command_layout(NORM)), stable from `start` on.
    rows: In(ROW_BITS), likewise.
    start: In(1), pulse before the first element.
    o_ready: Out(1), whether the next W/2 elements may be admitted.
    i_admit: In(1), they are (only with o_ready).
    i_valid: In(1), results come in the order of admission.
    values: In(W/2 signed 16-bit), with i_valid; those of the words with exponents.
    wide: In(W/2 signed 16-bit), in the cycle after i_valid; those of the INT16 words.
    o_write: Out stream of memory_write_layout, of client "vector" of ActivationMemory.
    o_finished: Out(1), all rows are written.

    Latency: LATENCY cycles from the second i_valid to the word of bytes. Throughput: one admission
    per cycle; with `residual` two in three cycles, as three words are written then. Back-pressure:
    by o_ready.
    """

    LATENCY = WordRounding.LATENCY + 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.NORM)),
                "rows": In(ROW_BITS),
                "start": In(1),
                "o_ready": Out(1),
                "i_admit": In(1),
                "i_valid": In(1),
                "values": In(8 * config.width),
                "wide": In(8 * config.width),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "o_finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        residual = self.command.residual
        entry_layout = data.StructLayout(
            {"residual": 1, "exponent": EXPONENT_BITS, "data": 8 * self._config.width}
        )
        m.submodules.queue = queue = ShortQueue(shape=entry_layout, depth=_WORDS)
        written = Signal()
        m.d.comb += written.eq(self.o_write.valid & self.o_write.ready)

        # An even admission reserves the words of both. With `residual` the third word of a pair
        # needs a free cycle.
        credits = Signal(range(_WORDS + 1), init=_WORDS)
        odd = Signal()
        pause = Signal()
        reserved = Signal(2)
        enough = Mux(residual, credits >= 3, credits.any())
        m.d.comb += [
            self.o_ready.eq(~pause & (odd | enough)),
            reserved.eq(Mux(self.i_admit & ~odd, Mux(residual, 3, 1), 0)),
        ]
        m.d.sync += [
            odd.eq(odd ^ self.i_admit),
            pause.eq(self.i_admit & odd & residual),
            credits.eq(credits - reserved + written),
        ]

        upper = Signal()
        low = Signal(8 * self._config.width, reset_less=True)
        with m.If(self.i_valid):
            m.d.sync += upper.eq(~upper)
            with m.If(~upper):
                m.d.sync += low.eq(self.values)
        m.submodules.rounding = rounding = WordRounding(width=self._config.width)
        m.d.comb += rounding.i.eq(Cat(low, self.values))
        word_valid = delayed(
            m, self.i_valid & upper, WordRounding.LATENCY, "word_valid", reset_less=False
        )
        # The INT16 words of a pair enter the queue one cycle early: the word of bytes has the cycle
        # after them, because nothing was admitted in the cycle after the pair.
        late = WordRounding.LATENCY - 1
        wide_valid = delayed(m, self.i_valid & residual, late, "wide_valid", reset_less=False)
        wide = delayed(m, self.wide, late - 1, "wide")
        entry = Signal(entry_layout)
        m.d.comb += [
            entry.residual.eq(wide_valid),
            entry.exponent.eq(Mux(wide_valid, 0, rounding.o_exponent)),
            entry.data.eq(Mux(wide_valid, wide, rounding.o)),
            queue.i.valid.eq(wide_valid | word_valid),
            queue.i.payload.eq(entry),
        ]

        head = queue.o.payload
        destination, source = self._addresses(m, head.residual, written)
        m.d.comb += [
            self.o_write.valid.eq(queue.o.valid),
            self.o_write.payload.address.eq(Mux(head.residual, source, destination)),
            self.o_write.payload.exponent.eq(head.exponent),
            self.o_write.payload.data.eq(head.data),
            self.o_write.payload.mask.eq(-1),
            queue.o.ready.eq(self.o_write.ready),
        ]
        return m

    def _addresses(self, m: Module, residual: Signal, written: Signal) -> tuple[Signal, Signal]:
        """Address of the next word of bytes and of the next INT16 word; counts the rows by their
        last word of bytes.
        """
        command = self.command
        rows_left = Signal(ROW_BITS)
        m.d.comb += self.o_finished.eq(rows_left == 0)
        addresses = []
        for name, base, stride, words, taken in (
            (
                "destination",
                command.destination,
                command.destination_stride,
                command.words[1:],
                written & ~residual,
            ),
            ("source", command.source, command.source_stride, command.words, written & residual),
        ):
            row_address = Signal(ADDRESS_BITS, name=f"{name}_row", reset_less=True)
            address = Signal(ADDRESS_BITS, name=f"{name}_address", reset_less=True)
            index = Signal(len(words), name=f"{name}_index", reset_less=True)
            last = Signal(name=f"{name}_last")
            m.d.comb += last.eq(index == words - 1)
            with m.If(self.start):
                m.d.sync += [row_address.eq(base), address.eq(base), index.eq(0)]
                if name == "destination":
                    m.d.sync += rows_left.eq(self.rows)
            with m.Elif(taken):
                m.d.sync += [address.eq(address + 1), index.eq(index + 1)]
                with m.If(last):
                    m.d.sync += [
                        row_address.eq(row_address + stride),
                        address.eq(row_address + stride),
                        index.eq(0),
                    ]
                    if name == "destination":
                        m.d.sync += rows_left.eq(rows_left - 1)
            addresses.append(address)
        return addresses[0], addresses[1]
