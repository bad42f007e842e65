# SPDX-License-Identifier: Apache-2.0
"""Where the blocks of a packed payload begin and end."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import LITERAL, MODE_BITS, SUBSTREAMS, WORD_BYTES
from rtl_gen.blocks.skid import Skid
from rtl_gen.decoder.byte_window import RING_BEATS, ByteWindow
from rtl_gen.decoder.mode_words import ModeWords, blocks_bits
from rtl_gen.decoder.ranks import count_ones, lookup
from rtl_gen.decoder.weight_block import BLOCK_BYTES, ISSUE, REFILLS, WEIGHT_BLOCK, WIDTHS

__all__ = ["KNOWN_BLOCK", "BlockIssue"]

_WORD = 8 * WORD_BYTES
_WIDTHS = data.ArrayLayout(4, WIDTHS)
_KNOWN_BYTES = BLOCK_BYTES - WORD_BYTES * REFILLS
_MARGIN_BITS = 1 + (BEAT_BYTES * RING_BEATS).bit_length()

KNOWN_BLOCK = data.StructLayout(
    {
        "bytes": range(_KNOWN_BYTES + 1),
        "last": 1,
        "literal": 1,
        "half": 1,
        "mode_word": 1,
        "widths": _WIDTHS,
    }
)
"""What is known of a block before it may be issued.

bytes: all but its refill words.
last: it is the last one of its slice.
The others as in ISSUE and WEIGHT_BLOCK.
"""


def _reach(margin: Value, words: range) -> Value:
    """Bit n: there are words[n] words or more in these bytes. A LUT a bit, no carry chain."""
    half = 1 << _MARGIN_BITS - 3
    values = [*range(half), *range(-half, 0)]  # by their code
    return Cat(lookup([value >= least for value in values], margin[2:]) for least in words)


class BlockIssue(wiring.Component):
    """Takes the blocks of one slice out of the byte window, as meadow.spec.streams defines them.

    bytes = 4 * (refill words, rice) + 4 * (mode word due) + (rice: 4*k; dictionary: widths of the
    block's packets). All but the refills is known before: blocks of known length wait in a register
    slice, and for the first of them registers say with how many refill words it is there. So the
    issue, which gives the next needs two cycles later, only counts the needs and looks that up. A
    mode word is back before the blocks that need it.

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
    head, available, arrives, word, data: In, of the byte window.
    take, block_bytes: Out, of the byte window, whose `block` is issue.valid; `take` is 0 before
        `start` and after `done`.
    exhausted: In, the window gets no more bytes.
    underrun: Out, the block is longer than what the window still has.
    stop: In, ends the slice at once, and stays until reset.
    credit: In, the weights of one more block have a place.
    need: In(8), bit 4*h + i: sub-stream i of half h has finished a word since its last block; right
        from the second cycle after a block of that half on.
    issue: Out stream of ISSUE, always ready.
    block: Out stream of WEIGHT_BLOCK, always ready, `latency` cycles later.

    Latency: `start_latency` cycles from start to the first issue. Throughput: a block per cycle. No
    back-pressure behind the issue.
    """

    latency = ByteWindow.latency
    start_latency = 4

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
                "arrives": In(1),
                "word": In(_WORD),
                "data": In(8 * BLOCK_BYTES),
                "take": Out(range(WORD_BYTES + 1)),
                "block_bytes": Out(range(BLOCK_BYTES + 1)),
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
        m.submodules.known = known = Skid(shape=KNOWN_BLOCK)
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
        ]
        m.d.sync += waiting.eq((self.start | (waiting & ~opening)) & ~self.stop)
        self._known(m, words, known)

        # Registers of the next block.
        full = Signal()
        block = Signal(KNOWN_BLOCK, reset_less=True)
        # Available bytes beyond those known of it.
        margin = Signal(signed(_MARGIN_BITS), reset_less=True)
        reach = Signal(REFILLS + 1)  # bit n: it is there and n refill words may be taken with it

        # Its issue.
        refill = Signal(REFILLS)
        refills = Signal(range(REFILLS + 1))
        enough = Signal()
        issued = Signal()
        with m.If(self.rice & full):
            m.d.comb += refill.eq(self.need.word_select(block.half, REFILLS))
        m.d.comb += [
            refills.eq(count_ones(refill)),
            self.block_bytes.eq(block.bytes + (refills << 2)),
            enough.eq(reach.bit_select(refills, 1)),
            issued.eq(enough & self.credit & ~self.stop),
            self.done.eq(issued & block.last),
            self.underrun.eq(self.exhausted & ((waiting & ~present) | (full & ~enough))),
            self.issue.valid.eq(issued),
            self.issue.payload.half.eq(block.half),
            self.issue.payload.literal.eq(block.literal),
        ]
        with m.If(opening & ~self.fixed):
            m.d.comb += self.take.eq(WORD_BYTES)

        # What is there for it in the next cycle, also if it is another block then: for any number
        # of refills, with a beat that arrives and without, so that these and the issue only choose.
        beat = BEAT_BYTES // WORD_BYTES
        before = Signal.like(margin)
        following = Signal.like(margin)
        m.d.comb += [
            before.eq(Mux(full, margin, self.available) - known.o.payload.bytes),
            following.eq(Mux(known.o.ready, before - (refills << 2), margin)),
            known.o.ready.eq(~full | issued),
        ]
        moves = _reach(before, range(-beat, 2 * REFILLS + 1))
        stays = _reach(margin, range(-beat, REFILLS + 1))
        moves, stays = (
            Mux(self.arrives, choices[: len(choices) - beat], choices[beat:])
            for choices in (moves, stays)
        )
        moves = Cat(moves.bit_select(refills + more, 1) for more in range(len(reach)))
        following_full = Mux(known.o.ready, known.o.valid, 1) & ~self.stop
        m.d.sync += [
            full.eq(following_full),
            margin.eq(following + (self.arrives << 4)),
            reach.eq(Mux(known.o.ready, moves, stays) & following_full.replicate(len(reach))),
        ]
        with m.If(known.o.ready):
            m.d.sync += block.eq(known.o.payload)

        # The block goes on when its bytes are there, and a mode word in it comes back.
        first = Signal(WEIGHT_BLOCK, reset_less=True)
        second = Signal(WEIGHT_BLOCK, reset_less=True)
        first_valid = Signal()
        second_valid = Signal()
        word_first = Signal.like(refills, reset_less=True)
        word_second = Signal.like(refills, reset_less=True)
        m.d.sync += [
            first.half.eq(block.half),
            first.mode_word.eq(block.mode_word),
            first.widths.eq(block.widths),
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
        ]
        # That of rice, behind the refill words, has time. Of chunk 1 it is needed 4 blocks later.
        with m.If(self.rice):
            m.d.comb += [
                words.word.valid.eq(second_valid & second.mode_word),
                words.word.payload.eq(words_behind.word_select(word_second, _WORD)),
            ]
        with m.Else():
            m.d.comb += [
                words.word.valid.eq(first_valid & first.mode_word),
                words.word.payload.eq(self.word),
            ]
        return m

    def _known(self, m: Module, words: ModeWords, known: Skid) -> None:
        """What is known of the next block, to the register slice in front of its issue."""
        block = known.i.payload
        widths = Signal(_WIDTHS)
        self._widths(m, words, widths)
        packets = (widths[0] + widths[1]) + (widths[2] + widths[3])
        m.d.comb += [
            known.i.valid.eq(words.valid),
            words.next.eq(words.valid & known.i.ready),
            block.bytes.eq(Mux(self.rice, widths[0] << 2, packets) + (words.due << 2)),
            block.last.eq(words.last),
            block.literal.eq(widths[0] == LITERAL),
            block.half.eq(words.half),
            block.mode_word.eq(words.due),
            block.widths.eq(widths),
        ]

    def _widths(self, m: Module, words: ModeWords, widths: data.View) -> None:
        """Widths of the block's packets, 0 for those it does not have; of rice only k."""
        used = (Const(1), ~self.rice, ~(self.rice | self.chunk2), ~(self.rice | self.chunk2))
        for packet in range(WIDTHS):
            mode = words.modes.word_select(packet, MODE_BITS)
            m.d.comb += widths[packet].eq(Mux(used[packet], self.widths[mode], 0))
