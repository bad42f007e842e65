# SPDX-License-Identifier: Apache-2.0
"""The mode words of a slice: which width the groups of the next block have."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import BLOCK_WEIGHTS, GROUP_WEIGHTS, MODE_BITS, MODES_PER_WORD, PACKET_IDS
from rtl_gen.decoder.weight_block import WIDTHS

__all__ = ["ModeWords", "blocks_bits"]

_WORD = MODE_BITS * MODES_PER_WORD
_GROUP_LOG2 = {  # weights of a group
    "rice": GROUP_WEIGHTS.bit_length() - 1,
    "chunk1": PACKET_IDS.bit_length() - 1,
    "chunk2": (2 * PACKET_IDS).bit_length() - 1,
}
_BLOCKS_LOG2 = {  # blocks of a mode word
    name: (MODES_PER_WORD.bit_length() - 1) + group - (BLOCK_WEIGHTS.bit_length() - 1)
    for name, group in _GROUP_LOG2.items()
}


def blocks_bits(config: AcceleratorConfig) -> int:
    """Bits of the number of blocks of a slice, 0 .. (2**12 - 1) tiles of W/P * W weights."""
    return 12 + (config.port_rows * config.width // BLOCK_WEIGHTS).bit_length() - 1


class ModeWords(wiring.Component):
    """Shifts the modes out of a word, block by block, and says which blocks bring the next word.

    A block has 4 groups (dictionary, chunk 1), 2 (chunk 2) or half a group (rice). A word is asked
    for in the first block of the word before, if the slice has more blocks than that word's; at
    most one is on its way or waiting.

    Members
    -------
    open: In pulse, a slice begins.
    blocks: In(blocks_bits(config)), with `open`: its blocks, >= 1.
    first: In(32), with `open`: its first modes.
    rice, chunk2, fixed: In, stable from `open` to the last block. fixed: every mode is 0 and no
        word is asked for.
    valid: Out, the members that follow are right.
    modes: Out(8), mode i of the block's groups at bit 2*i.
    half: Out, rice: second block of its group.
    last: Out, last block of the slice.
    due: Out, the block brings a mode word.
    next: In pulse, only while `valid`: go on to the next block.
    word: In stream of 32 bits, always ready: the word that a block brought.

    Latency: `latency` cycle from open, next or word to the outputs. Throughput: a block per cycle,
    if a word comes within the blocks of the word before it.
    """

    latency = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._bits = blocks_bits(config)
        super().__init__(
            {
                "open": In(1),
                "blocks": In(self._bits),
                "first": In(_WORD),
                "rice": In(1),
                "chunk2": In(1),
                "fixed": In(1),
                "valid": Out(1),
                "modes": Out(MODE_BITS * WIDTHS),
                "half": Out(1),
                "last": Out(1),
                "due": Out(1),
                "next": In(1),
                "word": In(stream.Signature(_WORD, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(self._bits, reset_less=True)  # blocks
        due = Signal(self._bits, reset_less=True)  # words
        position = Signal(max(_BLOCKS_LOG2.values()), reset_less=True)
        held = Signal()
        spare_held = Signal()
        modes = Signal(_WORD, reset_less=True)
        spare = Signal(_WORD, reset_less=True)
        per_word = Signal.like(position)
        words = Signal.like(due)
        after = Signal.like(modes)
        ends = Signal()
        vacant = Signal()
        before = self.blocks - 1
        m.d.comb += [
            per_word.eq(self._choose(*((1 << log2) - 1 for log2 in self._logs))),
            words.eq(self._choose(*(before >> log2 for log2 in self._logs))),
            after.eq(
                self._choose(
                    Mux(position[0], modes >> MODE_BITS, modes),
                    modes >> WIDTHS * MODE_BITS,
                    modes >> WIDTHS // 2 * MODE_BITS,
                )
            ),
            ends.eq(self.next & (position == per_word) & ~self.fixed),
            vacant.eq(~held | ends),
            self.valid.eq(held & (left != 0)),
            self.modes.eq(modes),
            self.half.eq(self.rice & position[0]),
            self.last.eq(left == 1),
            self.due.eq((position == 0) & (due != 0)),
        ]
        with m.If(self.next):
            m.d.sync += [
                left.eq(left - 1),
                due.eq(due - self.due),
                position.eq(Mux(position == per_word, 0, position + 1)),
                modes.eq(after),
            ]
        with m.If(vacant):
            m.d.sync += [
                modes.eq(Mux(spare_held, spare, self.word.payload)),
                held.eq(spare_held | self.word.valid),
                spare_held.eq(0),
            ]
        with m.Elif(self.word.valid):
            m.d.sync += [spare.eq(self.word.payload), spare_held.eq(1)]
        with m.If(self.open):
            m.d.sync += [
                left.eq(self.blocks),
                due.eq(Mux(self.fixed, 0, words)),
                position.eq(0),
                modes.eq(Mux(self.fixed, 0, self.first)),
                held.eq(1),
                spare_held.eq(0),
            ]
        return m

    _logs = (_BLOCKS_LOG2["rice"], _BLOCKS_LOG2["chunk1"], _BLOCKS_LOG2["chunk2"])

    def _choose(self, rice, chunk1, chunk2):
        return Mux(self.rice, rice, Mux(self.chunk2, chunk2, chunk1))
