# SPDX-License-Identifier: Apache-2.0
"""Registered adder tree whose carry inputs take one bit for each of its terms."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed

__all__ = ["SumTree"]


class SumTree(wiring.Component):
    """o_sum = i_last + sum over t of (i_terms[t] + i_carries[t]).

    Parameters
    ----------
    terms: how many, a power of two, at least 2.
    bits: of a signed term.
    last_bits: of i_last.
    sum_bits: of o_sum; the sum must fit.

    Members
    -------
    i_terms: In, terms of `bits` signed bits.
    i_carries: In, one bit for each term.
    i_last: In, signed and *even*; belongs to the terms of `LAST_DELAY` cycles before.
    o_sum: Out, signed, exact.

    Latency: `LATENCY` = log2(terms) cycles from i_terms. Throughput: one sum per cycle. No
    back-pressure, no rounding.

    One register per level. Of the carries each adder of the first level takes one at its carry
    input, each of the next one of those that are left, and so on; the last one of all is the lowest
    bit of i_last, which the last adder takes as its third operand.
    """

    def __init__(self, *, terms: int, bits: int, last_bits: int, sum_bits: int) -> None:
        if terms < 2 or terms & (terms - 1):
            raise ValueError(f"terms must be a power of two from 2 on, not {terms}")
        self._sum_bits = sum_bits
        self.LATENCY = terms.bit_length() - 1
        self.LAST_DELAY = self.LATENCY - 1
        super().__init__(
            {
                "i_terms": In(data.ArrayLayout(signed(bits), terms)),
                "i_carries": In(terms),
                "i_last": In(signed(last_bits)),
                "o_sum": Out(signed(sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums: list[Value] = list(self.i_terms)
        carries = self.i_carries
        level = 0
        while len(sums) > 2:
            level += 1
            parents = []
            for index in range(len(sums) // 2):
                left, right = sums[2 * index : 2 * index + 2]
                name = f"sum_{level}_{index}"
                parent = Signal(signed(len(left) + 1), name=name, reset_less=True)
                m.d.sync += parent.eq(left + right + carries[index])
                parents.append(parent)
            carries = delayed(m, carries[len(parents) :], 1, f"carries_{level}")
            sums = parents
        last = Cat(carries[1], self.i_last[1:]).as_signed()
        total = Signal(signed(self._sum_bits), reset_less=True)
        m.d.sync += total.eq(sums[0] + sums[1] + last + carries[0])
        m.d.comb += self.o_sum.eq(total)
        return m
