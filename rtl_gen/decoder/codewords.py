# SPDX-License-Identifier: Apache-2.0
"""The codewords of one run to quotients."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.streams import RUN_BITS, RUN_WEIGHTS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.decoder.ranks import (
    NIBBLE_BITS,
    RANK_BITS,
    count_ones,
    lookup,
    nibbles,
    prefix_ranks,
)
from rtl_gen.decoder.substreams import RUN

__all__ = ["QUOTIENTS", "QUOTIENT_BITS", "Codewords"]

QUOTIENT_BITS = (RUN_BITS - RUN_WEIGHTS).bit_length()
"""The longest codeword of a run has RUN_BITS - RUN_WEIGHTS zeros."""
QUOTIENTS = data.ArrayLayout(QUOTIENT_BITS, RUN_WEIGHTS)


class Codewords(wiring.Component):
    """quotient[i] = zeros between ones i-1 and i of a run.

    Masks what is behind the run, counts ones up to each nibble, so finds the nibble and the place
    of each, and subtracts neighbours.

    Members
    -------
    run: In RUN.
    quotients: Out(QUOTIENTS), unspecified for a run without RUN_WEIGHTS ones.

    Latency: `latency` cycles. Throughput: a run per cycle, no back-pressure.
    """

    latency = 4

    def __init__(self) -> None:
        super().__init__({"run": In(RUN), "quotients": Out(QUOTIENTS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Stage 1: the bits of the run alone, and which nibbles are behind it.
        span = RUN_BITS // NIBBLE_BITS
        last = self.run.last
        masked = [
            self.run.bits[i] & lookup([place >= i for place in range(RUN_BITS)], last)
            for i in range(RUN_BITS)
        ]
        bits1 = Signal(RUN_BITS, reset_less=True)
        behind = Signal(span, reset_less=True)
        counts = [
            Signal(range(NIBBLE_BITS + 1), name=f"count{i}", reset_less=True)
            for i in range(span - 1)
        ]
        m.d.sync += [
            bits1.eq(Cat(masked)),
            behind.eq(
                lookup(
                    [~((2 << nibble) - 1) & ((1 << span) - 1) for nibble in range(span)], last[2:]
                )
            ),
        ]
        for index, count in enumerate(counts):
            m.d.sync += count.eq(count_ones(nibbles(Cat(masked))[index]))
        # Stage 2: before[n], ones in front of nibble n; RUN_WEIGHTS are 0 in it. past[i][n]: one i
        # is in front of it.
        before = [Const(0, RANK_BITS), *prefix_ranks(m, counts, "before")]
        past = [Signal(span, name=f"past{i}", reset_less=True) for i in range(RUN_WEIGHTS - 1)]
        for number, row in enumerate(past):
            m.d.sync += row.eq(
                Cat(
                    behind[n] | lookup([rank > number for rank in range(RUN_WEIGHTS)], before[n])
                    for n in range(span)
                )
            )
        content = [Signal(NIBBLE_BITS + 2, name=f"nibble{n}", reset_less=True) for n in range(span)]
        for entry, nibble, rank in zip(content, nibbles(bits1), before, strict=True):
            m.d.sync += entry.eq(Cat(nibble, rank[:2]))
        # Stage 3: the nibble of each one. Stage 4: its place there; the last one's place is known.
        places = []
        for number, row in enumerate(past):
            middle, low = Mux(row[4], row[2], row[6]), Signal(name=f"low{number}")
            m.d.comb += low.eq(
                Mux(row[4], Mux(row[2], row[1], row[3]), Mux(row[6], row[5], row[7]))
            )
            chosen = Signal(NIBBLE_BITS + 2, reset_less=True)
            nibble = Signal(3, reset_less=True)
            select = ~Cat(low, middle, row[4])
            m.d.sync += [chosen.eq(_choose(content, select)), nibble.eq(select)]
            place = lookup([_place(entry, number) for entry in range(64)], chosen)
            places.append(Cat(place, nibble))
        places.append(delayed(m, last, 3, "last"))
        # Stage 4: a - b - 1 = a + ~b.
        for index in range(RUN_WEIGHTS):
            quotient = payload_register(m, self.quotients[index], f"quotient{index}")
            before_it = ~places[index - 1] if index else 0
            m.d.sync += quotient.eq(places[index] + before_it)
        return m


def _choose(entries: list[Signal], select: Value) -> Value:
    """entries[select] of 8."""
    values: list[Value] = list(entries)
    for bit in range(3):
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [Mux(select[bit], odd, even) for even, odd in pairs]
    return values[0]


def _place(entry: int, number: int) -> int:
    """Place of one `number` of a run in a nibble (low 4 bits) with entry >> 4 ones modulo 4 in
    front of it.
    """
    ones = [place for place in range(NIBBLE_BITS) if entry >> place & 1]
    index = (number - (entry >> NIBBLE_BITS)) % 4
    return ones[index] if index < len(ones) else 0
