# SPDX-License-Identifier: Apache-2.0
"""A window of bytes over a stream of beats."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import WORD_BYTES
from rtl_gen.blocks.payload import payload_register
from rtl_gen.decoder.weight_block import BLOCK_BYTES

__all__ = ["ANY_BYTE_BLOCK", "RING_BEATS", "ByteWindow"]

RING_BEATS = 4
"""A block of BLOCK_BYTES that begins at any word of a beat just fits."""
ANY_BYTE_BLOCK = 36
"""Bytes of `data` that are right at any offset (dictionary); those behind only if the offset is a
whole word (rice).
"""

_WORD = 8 * WORD_BYTES
_WORDS = BLOCK_BYTES // WORD_BYTES


def _choose(index: Value, options: list[Value]) -> Value:
    """options[index] as a tree of multiplexers, which makes one LUT of four options."""
    if len(options) == 1:
        return options[0]
    half = len(options) // 2
    return Mux(index[-1], _choose(index[:-1], options[half:]), _choose(index[:-1], options[:half]))


class ByteWindow(wiring.Component):
    """A ring of RING_BEATS beats, from whose head any number of bytes is taken per cycle.

    With t bytes that leave, held' = held + push - ((offset + t) >> 4) and available' = available +
    16*push - t; the bytes at the head are aligned in two registered stages, first by whole beats,
    then by words and bytes.

    Members
    -------
    i_beat: In stream of 128 bits, byte 0 lowest.
    take: In, bytes that leave in this cycle if `block` is 0.
    block: In, `block_bytes` leave in this cycle. It may come late: both are prepared.
    block_bytes: In. What leaves is at most `available`; what is longer than ANY_BYTE_BLOCK starts
        at a word.
    available: Out, unsigned 0..64, bytes held.
    arrives: Out, a beat is transferred: it is in `available` from the next cycle on.
    offset: Out(4), place of the head in its beat.
    head: Out(128), the beat of the head as it came, right while available > 0.
    data: Out(8*BLOCK_BYTES): the bytes at the head `latency` cycles ago, first lowest; those that
        were not available then are arbitrary.
    word: Out(32), the first bytes of `data` a cycle earlier, from registers through 2 levels of
        logic.

    Latency: a beat is available in the cycle after its transfer; `latency` cycles from take to
    data. Throughput: a beat in and a take per cycle. Back-pressure: i_beat.ready is a function of
    registers; it falls while the ring is full.
    """

    latency = 2

    def __init__(self) -> None:
        super().__init__(
            {
                "i_beat": In(stream.Signature(8 * BEAT_BYTES)),
                "take": In(range(BLOCK_BYTES + 1)),
                "block": In(1),
                "block_bytes": In(range(BLOCK_BYTES + 1)),
                "available": Out(range(BEAT_BYTES * RING_BEATS + 1)),
                "arrives": Out(1),
                "offset": Out(4),
                "head": Out(8 * BEAT_BYTES),
                "data": Out(8 * BLOCK_BYTES),
                "word": Out(_WORD),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ring = [
            Signal(8 * BEAT_BYTES, name=f"ring{index}", reset_less=True)
            for index in range(RING_BEATS)
        ]
        held = Signal(range(RING_BEATS + 1))
        first = Signal(2)
        tail = Signal(2)
        push = Signal()
        m.d.comb += [
            self.i_beat.ready.eq(held != RING_BEATS),
            push.eq(self.i_beat.valid & self.i_beat.ready),
            self.arrives.eq(push),
        ]
        m.d.sync += tail.eq(tail + push)

        def leave(taken: Value) -> None:
            after = Signal(7)
            m.d.comb += after.eq(self.offset + taken)
            m.d.sync += [
                held.eq(held + push - after[4:]),
                self.available.eq(self.available + (push << 4) - taken),
                self.offset.eq(after[:4]),
                first.eq(first + after[4:]),
            ]

        with m.If(self.block):
            leave(self.block_bytes)
        with m.Else():
            leave(self.take)
        with m.If(push), m.Switch(tail):
            for index, beat in enumerate(ring):
                with m.Case(index):
                    m.d.sync += beat.eq(self.i_beat.payload)

        turns = [Cat(*ring[index:], *ring[:index]) for index in range(RING_BEATS)]
        beats = Signal(8 * BEAT_BYTES * RING_BEATS)
        aligned = Signal.like(beats, reset_less=True)
        offset = Signal(4, reset_less=True)
        m.d.comb += [beats.eq(_choose(first, turns)), self.head.eq(beats[: 8 * BEAT_BYTES])]
        m.d.sync += [aligned.eq(beats), offset.eq(self.offset)]
        words = Signal(8 * BLOCK_BYTES)
        m.d.comb += words.eq(
            _choose(
                offset[2:],
                [
                    aligned[_WORD * i : _WORD * (i + _WORDS)]
                    for i in range(BEAT_BYTES // WORD_BYTES)
                ],
            )
        )
        from_byte = [words[8 * i : 8 * (i + ANY_BYTE_BLOCK)] for i in range(WORD_BYTES)]
        content = Cat(_choose(offset[:2], from_byte), words[8 * ANY_BYTE_BLOCK :])
        m.d.comb += self.word.eq(content[:_WORD])
        m.d.sync += payload_register(m, self.data, "content").eq(content)
        return m
