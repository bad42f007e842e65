# SPDX-License-Identifier: Apache-2.0
"""Row reader: rows of activation memory for units that go over a row twice."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.queue import Queue
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS, MemoryReadSignature
from rtl_gen.memory.activation_memory import ActivationMemory

__all__ = [
    "ROWS_AHEAD",
    "RowReader",
    "buffered_layout",
    "row_layout",
    "word_layout",
]

ROWS_AHEAD = 16
"""Rows between their first read and `i_row_done`: the depth that queues of one entry per row
need.
"""
_WORDS_AHEAD = 64
"""Words read while the result of a row's first pass is computed."""


def row_layout() -> data.StructLayout:
    """`words` words from `address` on; at least one."""
    return data.StructLayout({"address": ADDRESS_BITS, "words": STRIDE_BITS})


def word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word of the first pass.

    first, last: it is the first, the last word of its row.
    data: its W bytes.
    """
    return data.StructLayout({"first": 1, "last": 1, "data": 8 * config.width})


def buffered_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word of the second pass.

    last: it is the last word of its row.
    data: its W bytes.
    """
    return data.StructLayout({"last": 1, "data": 8 * config.width})


class RowReader(wiring.Component):
    """Every row is read once and offered twice: o_word in the cycle it comes, o from a buffer of at
    least two longest rows.

    So the first pass over row r+1 overlaps with the second pass over row r.

    Parameters
    ----------
    config: width W, norm_channels and max_context (longest rows of NORM and SOFTMAX).

    Members
    -------
    i_row: In stream of row_layout.
    i_row_done: In(1), once per row, in order, when its user has no more to do with it.
    o_read: Out(MemoryReadSignature), client "vector" of ActivationMemory, directly: its latency is
        counted on.
    o_word: Out stream of word_layout without back-pressure.
    o: Out stream of buffered_layout.

    Latency: a row that is taken is requested from the next cycle on; from a word that was read to
        o_word 0 cycles, to `o` 4 cycles.
    Throughput: one word per cycle, rows of any length back to back. Back-pressure: no word is
    requested without a place in the buffer, no row taken while ROWS_AHEAD rows are not done.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        longest = 2 * config.norm_channels // config.width
        if config.baseline:
            scores = min(2 * config.max_context // config.width, (1 << STRIDE_BITS) - 2)
            longest = max(longest, scores)
        self.depth = longest + max(longest, _WORDS_AHEAD) + 1
        super().__init__(
            {
                "i_row": In(stream.Signature(row_layout())),
                "i_row_done": In(1),
                "o_read": Out(MemoryReadSignature(config)),
                "o_word": Out(stream.Signature(word_layout(config), always_ready=True)),
                "o": Out(stream.Signature(buffered_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = buffered_layout(self._config)
        m.submodules.buffer = buffer = Queue(shape=layout, depth=self.depth)

        reading = Signal()
        address = Signal(ADDRESS_BITS, reset_less=True)
        left = Signal(STRIDE_BITS, reset_less=True)
        credits = Signal(range(self.depth + 1), init=self.depth)
        ahead = Signal(range(ROWS_AHEAD + 1))
        read = Signal()
        last_read = Signal()
        popped = Signal()
        next_row = Signal()
        m.d.comb += [
            self.o_read.address.valid.eq(reading & credits.any()),
            self.o_read.address.payload.eq(address),
            read.eq(self.o_read.address.valid & self.o_read.address.ready),
            last_read.eq(read & (left == 1)),
            popped.eq(self.o.valid & self.o.ready),
            self.i_row.ready.eq((~reading | last_read) & (ahead != ROWS_AHEAD)),
            next_row.eq(self.i_row.valid & self.i_row.ready),
        ]
        m.d.sync += [
            credits.eq(credits - read + popped),
            ahead.eq(ahead + next_row - self.i_row_done),
        ]
        with m.If(read):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1), reading.eq(~last_read)]
        with m.If(next_row):
            m.d.sync += [
                address.eq(self.i_row.payload.address),
                left.eq(self.i_row.payload.words),
                reading.eq(1),
            ]

        first = Signal(init=1)
        latency = ActivationMemory.READ_LATENCY["vector"]
        last = delayed(m, last_read, latency, "last", reset_less=False)
        with m.If(self.o_read.data.valid):
            m.d.sync += first.eq(last)
        entry = Signal(layout)
        m.d.comb += [
            self.o_word.valid.eq(self.o_read.data.valid),
            self.o_word.payload.first.eq(first),
            self.o_word.payload.last.eq(last),
            self.o_word.payload.data.eq(self.o_read.data.payload),
            entry.last.eq(last),
            entry.data.eq(self.o_read.data.payload),
            buffer.i.valid.eq(self.o_read.data.valid),
            buffer.i.payload.eq(entry),
        ]
        wiring.connect(m, buffer.o, wiring.flipped(self.o))
        return m
