# SPDX-License-Identifier: Apache-2.0
"""The first levels of the adder trees of two rows: one adder adds a term of each row."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WORD_BITS", "PackedTree"]

WORD_BITS = 48
"""Of the adder of a DSP48E2, and so at most of a word that holds a term of either row."""


class PackedTree(wiring.Component):
    """o_high[s] + (o_low[s] < 0) = sum over t of (i_high[t] + (i_low[t] < 0)) and
    o_low[s] = sum over t of i_low[t], over 2^LEVELS neighbours t from s * 2^LEVELS on.

    Parameters
    ----------
    terms: how many of each row, a power of two, at least 2.
    bits: of a signed term, at most half of WORD_BITS.

    Members (f = `FIELD_BITS`)
    -------
    i_low, i_high: In, terms of `bits` signed bits.
    o_low, o_high: Out, terms / 2^LEVELS of f signed bits, exact.

    Latency: `LEVELS` cycles. Throughput: terms of both rows per cycle. No back-pressure, no
    rounding.

    A word is high * 2^f + (low mod 2^f). With a high that is one too small where low is negative,
    which is what a pair of products gives, that is H * 2^f + L, whose sum needs no further thought:
    its fields are again the sum of L, and that of H less one where it is negative. There are as
    many levels as words have room for in WORD_BITS, but two words at least are left. The attribute
    `use_dsp` of each sum asks Vivado for an adder with register in one DSP48E2.
    """

    def __init__(self, *, terms: int, bits: int) -> None:
        if terms < 2 or terms & (terms - 1):
            raise ValueError(f"terms must be a power of two from 2 on, not {terms}")
        room = WORD_BITS // 2 - bits
        if room < 0:
            raise ValueError(f"bits must be at most {WORD_BITS // 2}, not {bits}")
        self.LEVELS = min(terms.bit_length() - 2, room)
        self.FIELD_BITS = bits + self.LEVELS
        term = data.ArrayLayout(signed(bits), terms)
        total = data.ArrayLayout(signed(self.FIELD_BITS), terms >> self.LEVELS)
        super().__init__(
            {"i_low": In(term), "i_high": In(term), "o_low": Out(total), "o_high": Out(total)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        field = self.FIELD_BITS
        words: list[Value] = []
        for number, (low, high) in enumerate(zip(self.i_low, self.i_high, strict=True)):
            fields = [Signal(signed(field), name=f"{name}_{number}") for name in ("low", "high")]
            m.d.comb += [fields[0].eq(low), fields[1].eq(high)]
            words.append(Cat(*fields))
        for level in range(1, self.LEVELS + 1):
            sums: list[Value] = []
            for index in range(len(words) // 2):
                total = Signal(
                    2 * field,
                    name=f"words_{level}_{index}",
                    reset_less=True,
                    attrs={"use_dsp": "yes"},
                )
                m.d.sync += total.eq(words[2 * index] + words[2 * index + 1])
                sums.append(total)
            words = sums
        for index, word in enumerate(words):
            m.d.comb += [self.o_low[index].eq(word[:field]), self.o_high[index].eq(word[field:])]
        return m
