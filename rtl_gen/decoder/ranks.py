# SPDX-License-Identifier: Apache-2.0
"""Ones of bit strings, counted modulo the codewords of a run.

Every one of a rice sub-stream ends a codeword and a run has RUN_WEIGHTS of them, so that the number
of ones before a one, modulo RUN_WEIGHTS, says which weight of its run it ends, wherever the run
begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value

from meadow.spec.streams import RUN_WEIGHTS

__all__ = [
    "NIBBLE_BITS",
    "RANK_BITS",
    "add_narrow",
    "count_ones",
    "lookup",
    "nibbles",
    "prefix_ranks",
    "rank_of",
]

RANK_BITS = RUN_WEIGHTS.bit_length() - 1
NIBBLE_BITS = 4


def nibbles(bits: Value) -> list[Value]:
    """The bits, NIBBLE_BITS at a time, lowest first."""
    return [bits[start : start + NIBBLE_BITS] for start in range(0, len(bits), NIBBLE_BITS)]


def lookup(table: Sequence[int], index: Value) -> Value:
    """table[index] for an index of few bits, as plain logic: a LUT a bit, where comparing or adding
    makes carry chains.
    """
    columns = []
    for bit in range(max(1, max(table).bit_length())):
        column = sum((entry >> bit & 1) << place for place, entry in enumerate(table))
        columns.append(Const(column, len(table)).bit_select(index, 1))
    return Cat(columns)


def count_ones(bits: Value) -> Value:
    """Number of ones of a few bits, unsigned."""
    return lookup([value.bit_count() for value in range(1 << len(bits))], bits)


def add_narrow(a: Value, b: Value) -> Value:
    """a + b of RANK_BITS bits each, with the carry as the highest bit: a LUT a bit, no carry
    chain.
    """
    carry = Const(0, 1)
    total = []
    for bit in range(RANK_BITS):
        total.append(a[bit] ^ b[bit] ^ carry)
        carry = (a[bit] & b[bit]) | (carry & (a[bit] | b[bit]))
    return Cat(*total, carry)


def prefix_ranks(m: Module, counts: Sequence[Value], name: str) -> list[Value]:
    """result[i] = counts[0] + ... + counts[i] modulo RUN_WEIGHTS, in ceil(log2(len(counts))) levels
    of adders.
    """
    sums: list[Value] = [rank_of(count) for count in counts]
    span = 1
    while span < len(sums):
        for index in range(len(sums)):
            if index & span:
                node = Signal(RANK_BITS, name=f"{name}_{span}_{index}")
                m.d.comb += node.eq(add_narrow(sums[index], sums[(index & -span) - 1]))
                sums[index] = node
        span <<= 1
    return sums


def rank_of(count: Value) -> Value:
    """A number of ones, modulo RUN_WEIGHTS, as RANK_BITS bits."""
    return Cat(count, Const(0, RANK_BITS))[:RANK_BITS]
