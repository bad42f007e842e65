# SPDX-License-Identifier: Apache-2.0
"""Ends of the runs in the words of rice sub-streams."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.streams import WORD_BYTES
from rtl_gen.decoder.ranks import (
    NIBBLE_BITS,
    RANK_BITS,
    add_narrow,
    count_ones,
    nibbles,
    prefix_ranks,
    rank_of,
)

__all__ = ["END", "MARKED_WORD", "STREAM_WORD", "RunEnds"]

_WORD_BITS = 8 * WORD_BYTES

STREAM_WORD = data.StructLayout({"half": 1, "first": 1, "data": _WORD_BITS})
"""The next word of one of two sub-streams; `first`: its first one."""

END = data.StructLayout({"any": 1, "place": RANK_BITS})
"""Of a byte: whether a run ends in it (only one can: a run has at least 8 bits), and with which
bit.
"""

MARKED_WORD = data.StructLayout(
    {
        "half": 1,
        "first": 1,
        "data": _WORD_BITS,
        "ends": data.ArrayLayout(END, WORD_BYTES),
    }
)


class RunEnds(wiring.Component):
    """Marks every RUN_WEIGHTS-th one of two sub-streams, as their words arrive.

    Where runs end does not depend on the blocks that consume them, so that a block only has to look
    for the next mark.

    Members
    -------
    word: In stream of STREAM_WORD, always ready, in any order of the two.
    marked: Out stream of MARKED_WORD, always ready, from registers through about 5 levels of logic.

    Latency: `latency` cycle. Throughput: one word per cycle, no back-pressure.
    """

    latency = 1

    def __init__(self) -> None:
        super().__init__(
            {
                "word": In(stream.Signature(STREAM_WORD, always_ready=True)),
                "marked": Out(stream.Signature(MARKED_WORD, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        marked, following = self.marked.payload, self.word.payload
        word = Signal(STREAM_WORD, reset_less=True)
        valid = Signal()
        counts = [
            Signal(range(NIBBLE_BITS + 1), name=f"count{i}", reset_less=True)
            for i in range(2 * WORD_BYTES)
        ]
        m.d.sync += valid.eq(self.word.valid)
        with m.If(self.word.valid):
            m.d.sync += [word.half.eq(following.half), word.first.eq(following.first)]
        m.d.sync += word.data.eq(following.data)
        for count, part in zip(counts, nibbles(following.data), strict=True):
            m.d.sync += count.eq(count_ones(part))
        before = self._before(m, word, valid, counts)
        m.d.comb += [
            self.marked.valid.eq(valid),
            marked.half.eq(word.half),
            marked.first.eq(word.first),
            marked.data.eq(word.data),
        ]
        for index in range(WORD_BYTES):
            places, hits = [], []
            for nibble in (2 * index, 2 * index + 1):
                part = nibbles(word.data)[nibble]
                rank = before[nibble]
                # The run ends here, at the one before which RUN_WEIGHTS - 1 are counted: among
                # those in front of it in the nibble are 7 - rank, of which two bits are enough.
                hits.append(add_narrow(rank, rank_of(counts[nibble]))[RANK_BITS])
                found = [part[i] & (count_ones(part[:i]) == ~rank[:2]) for i in range(NIBBLE_BITS)]
                places.append(Cat(found[1] | found[3], found[2] | found[3]))
            m.d.comb += [
                marked.ends[index].any.eq(hits[0] | hits[1]),
                marked.ends[index].place.eq(Cat(Mux(hits[0], places[0], places[1]), ~hits[0])),
            ]
        return m

    def _before(
        self, m: Module, word: data.View, valid: Signal, counts: list[Signal]
    ) -> list[Value]:
        """Rank of each nibble's first bit in `word`."""
        following = self.word.payload
        # `rank` is at the beginning of the present word, `other` at the end of what the other
        # sub-stream has.
        rank = Signal(RANK_BITS, reset_less=True)
        other = Signal(RANK_BITS, reset_less=True)
        after = Signal(RANK_BITS)
        total = prefix_ranks(m, counts, "total")[-1]
        m.d.comb += after.eq(add_narrow(rank, Mux(valid, total, 0)))
        m.d.sync += rank.eq(after)
        with m.If(self.word.valid):
            with m.If(following.half != word.half):
                m.d.sync += [rank.eq(other), other.eq(after)]
            with m.If(following.first):
                m.d.sync += rank.eq(0)
        return prefix_ranks(m, [rank, *counts[:-1]], "before")
