# SPDX-License-Identifier: Apache-2.0
"""Words of one port for a STORE: read requests in order, words to beats."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.short_queue import ShortQueue
from rtl_gen.dma.store_share import SHARE
from rtl_gen.interfaces.command import command_layout
from rtl_gen.interfaces.dma import BEAT_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS, MemoryReadSignature
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["StoreReader"]

_WORDS = 16
"""Words between a request and their last beat; covers the way through the memory at a beat per
cycle and W = 16.
"""


class StoreReader(wiring.Component):
    """Beats of segments (j, r) of this port, in the order of StoreDescriptors.

    For every segment j of the port's share, for its rows r: segment_beats beats from beat
    j*segment_beats of the row at word source + r*source_stride.

    Parameters
    ----------
    config: width W, ports P.

    Members
    -------
    command: In, stable from 2 cycles before `start` until idle.
    share: In, stable from `start` until idle, its rows from the cycle before.
    start: In(1), pulse while idle.
    o_read: Out(MemoryReadSignature); words may come any time later. Their exponents do not matter;
        with the command's `exponents` all but byte 0 of a word is left out.
    o: Out stream of beats.
    idle: Out(1), 1 when the last beat has been taken.

    Throughput: one beat per cycle. Back-pressure: requests stop at _WORDS words that are not sent
        yet.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.STORE)),
                "share": In(SHARE),
                "start": In(1),
                "o_read": Out(MemoryReadSignature(config)),
                "o": Out(stream.Signature(BEAT_BITS)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config, command = self._config, self.command
        m = Module()
        word_log2 = config.word_beats.bit_length() - 1
        m.submodules.words = words = ShortQueue(shape=8 * config.width, depth=_WORDS)
        m.submodules.places = places = ShortQueue(shape=max(1, word_log2), depth=_WORDS)
        requested = Signal()
        finished = Signal()
        credits = Signal(range(_WORDS + 1), init=_WORDS)
        m.d.sync += credits.eq(credits - requested + finished)

        active = Signal()
        pending = Signal()
        request_place = self._requests(m, active, pending, requested, credits.any(), word_log2)
        m.d.comb += [
            requested.eq(self.o_read.address.valid & self.o_read.address.ready),
            places.i.valid.eq(requested),
            places.i.payload.eq(request_place),
            words.i.valid.eq(self.o_read.data.valid),
            words.i.payload.eq(self.o_read.data.payload),
        ]

        # Beats of a word, through one register.
        beat = Signal(range(max(2, config.word_beats)))
        last = Signal()
        last_beat = Signal.like(beat, reset_less=True)
        whole = command.segment_beats >= config.word_beats
        m.d.sync += last_beat.eq(Mux(whole, config.word_beats, command.segment_beats) - 1)
        free = ~self.o.valid | self.o.ready
        m.d.comb += [
            last.eq(beat == last_beat),
            finished.eq(free & words.o.valid & last),
            words.o.ready.eq(finished),
            places.o.ready.eq(finished),
            self.idle.eq(~active & ~pending & (credits == _WORDS) & ~self.o.valid),
        ]
        choice = Array(words.o.payload.word_select(i, BEAT_BITS) for i in range(config.word_beats))
        payload = payload_register(m, self.o.payload, "payload")
        # A segment shorter than a word begins at a multiple of its length.
        index = Signal(max(1, word_log2))
        m.d.comb += index.eq(places.o.payload | beat)
        chosen = choice[index]
        with m.If(free):
            m.d.sync += self.o.valid.eq(words.o.valid)
            with m.If(words.o.valid):
                m.d.sync += [
                    # Resets, not LUTs, where a word stands for its exponent.
                    payload[8:].eq(Mux(command.exponents, 0, chosen[8:])),
                    payload[:8].eq(Mux(command.exponents & index.any(), 0, chosen[:8])),
                    beat.eq(Mux(last, 0, beat + 1)),
                ]
        return m

    def _requests(
        self,
        m: Module,
        active: Signal,
        pending: Signal,
        requested: Signal,
        credit: Value,
        word_log2: int,
    ) -> Signal:
        """Nested loops over this port's segments, rows and words; returns the first beat's place in
        its word.
        """
        command, share = self.command, self.share
        # What is behind a segment, a row and a word, and whether that is nothing: no number is
        # compared in the cycle in which a request is granted.
        later_segments = Signal.like(share.segments, reset_less=True)
        last_segment = Signal(reset_less=True)
        later_rows = Signal(ROW_BITS, reset_less=True)
        last_row = Signal(reset_less=True)
        later_words = Signal(STRIDE_BITS, reset_less=True)
        last_word = Signal(reset_less=True)
        segment_later_words = Signal(STRIDE_BITS, reset_less=True)
        single_word = Signal(reset_less=True)
        single_row = Signal(reset_less=True)
        word = Signal(STRIDE_BITS, reset_less=True)
        row_address = Signal(ADDRESS_BITS, reset_less=True)
        beats = Signal(
            len(command.segment_beats) + len(share.segments), reset_less=True
        )  # of a row before the segment
        advance = Signal.like(share.beats, reset_less=True)
        words = command.segment_beats >> word_log2
        dealt = command.segment_beats * self._config.ports
        m.d.sync += [
            segment_later_words.eq(words - words.any()),
            single_word.eq(words <= 1),
            single_row.eq(share.rows == 1),
            advance.eq(Mux(share.by_segment, dealt, command.segment_beats)),
        ]

        address = Signal(ADDRESS_BITS, reset_less=True)
        place = Signal(max(1, word_log2), reset_less=True)
        m.d.comb += [
            self.o_read.address.valid.eq(pending & credit),
            self.o_read.address.payload.eq(address),
        ]

        with m.If(~pending | requested):
            m.d.sync += [
                pending.eq(active),
                address.eq(row_address + (beats >> word_log2) + word),
                place.eq(beats[:word_log2] if word_log2 else 0),
            ]
            with m.If(active):
                m.d.sync += [
                    word.eq(word + 1),
                    later_words.eq(later_words - 1),
                    last_word.eq(later_words == 1),
                ]
                with m.If(last_word):
                    m.d.sync += [
                        word.eq(0),
                        later_words.eq(segment_later_words),
                        last_word.eq(single_word),
                        later_rows.eq(later_rows - 1),
                        last_row.eq(later_rows == 1),
                        row_address.eq(row_address + command.source_stride),
                    ]
                    with m.If(last_row):
                        m.d.sync += [
                            later_rows.eq(share.rows - 1),
                            last_row.eq(single_row),
                            row_address.eq(share.source),
                            beats.eq(beats + advance),
                            later_segments.eq(later_segments - 1),
                            last_segment.eq(later_segments == 1),
                            active.eq(~last_segment),
                        ]
        with m.If(self.start):
            m.d.sync += [
                active.eq(share.segments.any() & share.rows.any()),
                later_segments.eq(share.segments - 1),
                last_segment.eq(share.segments == 1),
                later_rows.eq(share.rows - 1),
                last_row.eq(single_row),
                word.eq(0),
                later_words.eq(segment_later_words),
                last_word.eq(single_word),
                row_address.eq(share.source),
                beats.eq(share.beats),
            ]
        return place
