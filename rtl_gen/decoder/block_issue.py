# SPDX-License-Identifier: Apache-2.0
"""Where the blocks of a packed payload begin and end."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import LITERAL, MODE_BITS, SUBSTREAMS, WORD_BYTES
from rtl_gen.decoder.byte_window import RING_BEATS, ByteWindow
from rtl_gen.decoder.mode_words import ModeWords, blocks_bits
from rtl_gen.decoder.weight_block import BLOCK_BYTES, ISSUE, REFILLS, WEIGHT_BLOCK, WIDTHS

__all__ = ["BlockIssue"]

_WORD = 8 * WORD_BYTES
_WIDTHS = data.ArrayLayout(4, WIDTHS)


def _ones(bits: Value) -> Value:
    """Number of bits that are 1."""
    return sum((bit for bit in bits), Const(0, 1))


class BlockIssue(wiring.Component):
    """Takes the blocks of one slice out of the byte window, as meadow.spec.streams defines them.

    bytes = 4 * (refill words, rice) + 4 * (mode word due) + (rice: 4*k; dictionary: widths of the
    block's packets). All but the refills is in a register when the block may be issued; a mode word
    is back before the blocks that need it.

    Members
    -------
    start: In pulse; the head of the window is then the payload of a slice, at the beginning of a
        beat.
    blocks: In(blocks_bits(config)), >= 1, blocks of the slice. It and the next four are stable from
        `start` to `done`.
    rice, chunk2, fixed: In, of the preamble; chunk2 means nothing with rice, and rice is never
        fixed.
    widths: In, 4 x 4 bits, by mode: of the preamble.
    done: Out pulse, the last block is issued.
    head, available, data: In, of the byte window.
    take: Out, of the byte window; 0 before `start` and after `done`.
    exhausted: In, the window gets no more bytes.
    underrun: Out, the block is longer than what the window still has.
    stop: In, ends the slice at once.
    credit: In, the weights of one more block have a place.
    need: In(8), bit 4*h + i: sub-stream i of half h has finished a word since its last block; right
        from the second cycle after a block of that half on.
    issue: Out stream of ISSUE, always ready.
    block: Out stream of WEIGHT_BLOCK, always ready, `latency` cycles later.

    Latency: `start_latency` cycles from start to the first issue. Throughput: a block per cycle. No
    back-pressure behind the issue.
    """

    latency = ByteWindow.latency
    start_latency = 3

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "blocks": In(blocks_bits(config)),
                "rice": In(1),
                "chunk2": In(1),
                "fixed": In(1),
                "widths": In(_WIDTHS),
                "done": Out(1),
                "head": In(8 * BEAT_BYTES),
                "available": In(range(BEAT_BYTES * RING_BEATS + 1)),
                "data": In(8 * BLOCK_BYTES),
                "take": Out(range(BLOCK_BYTES + 1)),
                "exhausted": In(1),
                "underrun": Out(1),
                "stop": In(1),
                "credit": In(1),
                "need": In(SUBSTREAMS),
                "issue": Out(stream.Signature(ISSUE, always_ready=True)),
                "block": Out(stream.Signature(WEIGHT_BLOCK, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = ModeWords(config=self.config)
        waiting = Signal()
        present = Signal()
        opening = Signal()
        m.d.comb += [
            present.eq(self.fixed | (self.available >= WORD_BYTES)),
            opening.eq(waiting & present & ~self.stop),
            words.open.eq(opening),
            words.blocks.eq(self.blocks),
            words.first.eq(self.head),
            words.rice.eq(self.rice),
            words.chunk2.eq(self.chunk2),
            words.fixed.eq(self.fixed),
            words.clear.eq(self.stop),
        ]
        m.d.sync += waiting.eq((self.start | (waiting & ~opening)) & ~self.stop)

        # The register of the next block.
        full = Signal()
        last = Signal()
        literal = Signal()
        known_bytes = Signal(range(WORD_BYTES * (LITERAL + 1) + 1))
        sent = Signal(WEIGHT_BLOCK)  # its fields but refill and data
        issued = Signal()
        widths = Signal(_WIDTHS)
        m.d.comb += words.next.eq(words.valid & (~full | issued) & ~self.stop)
        self._widths(m, words, widths)
        packets = sum((widths[packet] for packet in range(WIDTHS)), Const(0, 1))
        raw = Mux(self.rice, widths[0] << 2, packets)
        with m.If(words.next):
            m.d.sync += [
                last.eq(words.last),
                literal.eq(widths[0] == LITERAL),
                known_bytes.eq(raw + (words.due << 2)),
                sent.half.eq(words.half),
                sent.mode_word.eq(words.due),
                sent.widths.eq(widths),
            ]
        m.d.sync += full.eq((words.next | (full & ~issued)) & ~self.stop)

        # Its issue.
        refill = Signal(REFILLS)
        refills = Signal(range(REFILLS + 1))
        block_bytes = Signal(range(BLOCK_BYTES + 1))
        enough = Signal()
        with m.If(self.rice):
            m.d.comb += refill.eq(self.need.word_select(sent.half, REFILLS))
        m.d.comb += [
            refills.eq(_ones(refill)),
            block_bytes.eq(known_bytes + (refills << 2)),
            enough.eq(self.available >= block_bytes),
            issued.eq(full & enough & self.credit & ~self.stop),
            self.done.eq(issued & last),
            self.underrun.eq(self.exhausted & ((waiting & ~present) | (full & ~enough))),
            self.issue.valid.eq(issued),
            self.issue.payload.half.eq(sent.half),
            self.issue.payload.literal.eq(literal),
        ]
        with m.If(issued):
            m.d.comb += self.take.eq(block_bytes)
        with m.Elif(opening & ~self.fixed):
            m.d.comb += self.take.eq(WORD_BYTES)

        # The block goes on when its bytes are there, and a mode word in it comes back.
        first = Signal(WEIGHT_BLOCK)
        second = Signal(WEIGHT_BLOCK)
        first_valid = Signal()
        second_valid = Signal()
        word_first = Signal.like(refills)
        word_second = Signal.like(refills)
        m.d.sync += [
            first.eq(sent),
            first.refill.eq(refill),
            first_valid.eq(issued),
            second.eq(first),
            second_valid.eq(first_valid),
            word_first.eq(refills),
            word_second.eq(word_first),
        ]
        words_behind = self.data[: _WORD * (REFILLS + 1)]
        m.d.comb += [
            self.block.valid.eq(second_valid),
            self.block.payload.eq(second),
            self.block.payload.data.eq(self.data),
            words.word.valid.eq(second_valid & second.mode_word),
            words.word.payload.eq(words_behind.word_select(word_second, _WORD)),
        ]
        return m

    def _widths(self, m: Module, words: ModeWords, widths: data.View) -> None:
        """Widths of the block's packets, 0 for those it does not have; of rice only k."""
        used = (Const(1), ~self.rice, ~(self.rice | self.chunk2), ~(self.rice | self.chunk2))
        for packet in range(WIDTHS):
            mode = words.modes.word_select(packet, MODE_BITS)
            m.d.comb += widths[packet].eq(Mux(used[packet], self.widths[mode], 0))
