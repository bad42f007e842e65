# SPDX-License-Identifier: Apache-2.0
"""Two rice sub-streams: their words, how far they are read, and the run that a block takes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import PRIMER_WORDS, RUN_BITS, WORD_BYTES
from rtl_gen.blocks.payload import payload_register
from rtl_gen.decoder.ranks import lookup
from rtl_gen.decoder.run_ends import END, RunEnds
from rtl_gen.decoder.weight_block import ISSUE

__all__ = ["HALF_PRIME", "HALF_REFILL", "RUN", "SubStreamPair"]

_WORD_BITS = 8 * WORD_BYTES
_PLACE_BITS = _WORD_BITS.bit_length() - 1
_BANKED_WORD = data.StructLayout({"data": _WORD_BITS, "ends": data.ArrayLayout(END, WORD_BYTES)})

HALF_PRIME = data.StructLayout({"half": 1, "data": 8 * BEAT_BYTES})
"""The first words of the sub-stream of a half."""
HALF_REFILL = data.StructLayout({"half": 1, "data": _WORD_BITS})
"""The next word of the sub-stream of a half."""

RUN = data.StructLayout({"bits": RUN_BITS, "last": _PLACE_BITS})
"""The bits of a run, first lowest, and the place of its last one; bits above `last` are of later
runs.
"""


class SubStreamPair(wiring.Component):
    """Sub-stream i of the first half of the groups and sub-stream i of the second.

    Each has a ring of PRIMER_WORDS words with the marks of RunEnds, in a LUT RAM of even and one of
    odd words, and `last`, the place of the last bit that was consumed. A block of half h:

        cycle 0: read the word of `last` and the next one; drop the marks up to `last`
        cycle 1: last' = the first mark that is left: right in cycle 2, as is need[h] = a word is
            finished
        cycles 1, 2: rotate the bits behind `last` to the bottom: the run is there in cycle 3

    Members
    -------
    prime: In stream of HALF_PRIME, always ready, the first PRIMER_WORDS words of a sub-stream; it
        starts again. A beat every PRIMER_WORDS cycles; the first block is PRIMER_WORDS - 2 cycles
        later or more.
    issue: In stream of ISSUE, always ready, a block; one of the same half 2 cycles later or more.
        literal: the block takes no run.
    refill: In stream of HALF_REFILL, always ready, the word behind those of the ring; a block may
        need it `refill_latency` cycles later.
    need: Out(2), registers, bit h: the last block of half h has finished a word, which is to be
        refilled.
    run: Out RUN, `latency` cycles after the issue.
    bad: Out pulse with it: no run ends in its RUN_BITS bits; from then on the sub-stream is
        unspecified until it is primed.

    Throughput: a block per cycle, the halves alternating; no back-pressure.
    """

    latency = 3
    need_latency = 2
    refill_latency = 2

    def __init__(self) -> None:
        super().__init__(
            {
                "prime": In(stream.Signature(HALF_PRIME, always_ready=True)),
                "issue": In(stream.Signature(ISSUE, always_ready=True)),
                "refill": In(stream.Signature(HALF_REFILL, always_ready=True)),
                "need": Out(2),
                "run": Out(RUN),
                "bad": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = self.issue.payload.half
        # `last` of each half: word of the ring, bit of the word. At first it is the bit before the
        # first one.
        words = [
            Signal(2, init=PRIMER_WORDS - 1, name=f"word{h}", reset_less=True) for h in range(2)
        ]
        places = [
            Signal(_PLACE_BITS, init=_WORD_BITS - 1, name=f"place{h}", reset_less=True)
            for h in range(2)
        ]
        word, place = Mux(half, words[1], words[0]), Mux(half, places[1], places[0])
        even, odd = self._ring(m, word)

        # Cycle 0. The byte of `last` has no other mark than that of `last` itself.
        low = Signal(_BANKED_WORD)
        high = Signal(_BANKED_WORD)
        m.d.comb += [low.eq(Mux(word[0], odd, even)), high.eq(Mux(word[0], even, odd))]
        ends = Signal(data.ArrayLayout(END, 2 * WORD_BYTES), reset_less=True)
        m.d.sync += ends.eq(Cat(low.ends, high.ends))
        for byte in range(WORD_BYTES):
            m.d.sync += ends[byte].any.eq(
                low.ends[byte].any & lookup([b < byte for b in range(4)], place[3:])
            )
        both = Signal(2 * _WORD_BITS, reset_less=True)
        turn = Signal(1 + _PLACE_BITS, reset_less=True)
        issued = Signal(ISSUE, reset_less=True)
        issued_valid = Signal()
        m.d.sync += [both.eq(Cat(even.data, odd.data)), turn.eq(Cat(place, word[0]))]
        m.d.sync += [issued.eq(self.issue.payload), issued_valid.eq(self.issue.valid)]

        # Cycle 1.
        found = Signal()
        end = Signal(1 + _PLACE_BITS)
        m.d.comb += [found.eq(Cat(entry.any for entry in ends).any()), end.eq(_first(ends))]
        finished = (end[:_PLACE_BITS] == _WORD_BITS - 1) | (
            end[_PLACE_BITS] & (turn[:_PLACE_BITS] != _WORD_BITS - 1)
        )
        for h in range(2):
            with m.If(issued_valid & (issued.half == h)):
                m.d.sync += self.need[h].eq(finished & ~issued.literal)
                with m.If(~issued.literal):
                    m.d.sync += [
                        words[h].eq(words[h] + end[_PLACE_BITS]),
                        places[h].eq(end[:_PLACE_BITS]),
                    ]
            with m.If(self.prime.valid & (self.prime.payload.half == h)):
                m.d.sync += [
                    self.need[h].eq(0),
                    words[h].eq(PRIMER_WORDS - 1),
                    places[h].eq(_WORD_BITS - 1),
                ]
        self._run(m, issued_valid & ~issued.literal, both, turn, found, end)
        return m

    def _run(
        self, m: Module, takes: Value, both: Signal, turn: Signal, found: Signal, end: Signal
    ) -> None:
        """Bits 1..RUN_BITS of `both`, rotated by `turn`; `takes`: a block takes a run."""
        bits = both
        for bit in (5, 4):
            bits = Mux(turn[bit], bits.rotate_right(1 << bit), bits)
        bits = _shifted(bits[1:], turn[2:4], 4, RUN_BITS + 3)
        middle = Signal(RUN_BITS + 3, reset_less=True)
        m.d.sync += middle.eq(bits)
        fine = Signal(2, reset_less=True)
        start = Signal(_PLACE_BITS, reset_less=True)
        stop = Signal(1 + _PLACE_BITS, reset_less=True)
        none = Signal(reset_less=True)
        taken = Signal()
        m.d.sync += [
            fine.eq(turn[:2]),
            start.eq(turn[:_PLACE_BITS]),
            stop.eq(end),
            none.eq(~found),
            taken.eq(takes),
        ]
        # Cycle 2.
        length = Signal(1 + _PLACE_BITS)
        m.d.comb += length.eq(stop + ~start)
        run = payload_register(m, self.run, "run_register")
        m.d.sync += [
            run.bits.eq(_shifted(middle, fine, 1, RUN_BITS)),
            run.last.eq(length),
            self.bad.eq(taken & (none | (stop[_PLACE_BITS] & (stop[:_PLACE_BITS] > start)))),
        ]

    def _ring(self, m: Module, word: Value) -> tuple[data.View, data.View]:
        """The banks' entries for the ring's word `word` and the one behind it."""
        m.submodules.run_ends = run_ends = RunEnds()
        self._arrivals(m, run_ends.word)
        marked, half = run_ends.marked.payload, self.issue.payload.half
        heads = [Signal(2, name=f"head{h}", reset_less=True) for h in range(2)]
        head = Signal(2)
        m.d.comb += head.eq(Mux(marked.first, 0, Mux(marked.half, heads[1], heads[0])))
        for h in range(2):
            with m.If(run_ends.marked.valid & (marked.half == h)):
                m.d.sync += heads[h].eq(head + 1)
        entries = []
        for bank, row in enumerate((word[1] ^ word[0], word[1])):
            memory = Memory(
                shape=_BANKED_WORD, depth=PRIMER_WORDS, init=[], attrs={"ram_style": "distributed"}
            )
            m.submodules[f"bank{bank}"] = memory
            write = memory.write_port()
            read = memory.read_port(domain="comb")
            m.d.comb += [
                write.addr.eq(Cat(head[1], marked.half)),
                write.data.data.eq(marked.data),
                write.data.ends.eq(marked.ends),
                write.en.eq(run_ends.marked.valid & (head[0] == bank)),
                read.addr.eq(Cat(row, half)),
            ]
            entries.append(read.data)
        return entries[0], entries[1]

    def _arrivals(self, m: Module, word: stream.Interface) -> None:
        """Refills, and primer beats word by word."""
        left = Signal(range(PRIMER_WORDS + 1))
        half = Signal(reset_less=True)
        first = Signal(reset_less=True)
        beat = Signal(8 * BEAT_BYTES, reset_less=True)
        with m.If(self.prime.valid):
            m.d.sync += [
                beat.eq(self.prime.payload.data),
                half.eq(self.prime.payload.half),
                left.eq(PRIMER_WORDS),
                first.eq(1),
            ]
        with m.Elif(left != 0):
            m.d.sync += [beat.eq(beat >> _WORD_BITS), left.eq(left - 1), first.eq(0)]
        priming = left != 0
        m.d.comb += [
            word.valid.eq(priming | self.refill.valid),
            word.payload.half.eq(Mux(priming, half, self.refill.payload.half)),
            word.payload.first.eq(priming & first),
            word.payload.data.eq(Mux(priming, beat[:_WORD_BITS], self.refill.payload.data)),
        ]


def _shifted(bits: Value, amount: Value, unit: int, width: int) -> Value:
    """`width` bits from bit `unit` * `amount` on; `amount` has two bits."""
    coarse = Mux(amount[1], bits[2 * unit :], bits)[: width + unit]
    return Mux(amount[0], coarse[unit:], coarse)[:width]


def _first(ends: data.View) -> Value:
    """Place of the first mark: byte and bit; unspecified without one. Bytes pair by pair, so a
    level for each bit.
    """
    entries = [(Value.cast(end.any), Value.cast(end.place)) for end in ends]
    while len(entries) > 1:
        entries = [
            (low | high, Mux(low, Cat(low_place, Const(0, 1)), Cat(high_place, Const(1, 1))))
            for (low, low_place), (high, high_place) in zip(
                entries[::2], entries[1::2], strict=True
            )
        ]
    return entries[0][1]
