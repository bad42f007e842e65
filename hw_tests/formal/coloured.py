# SPDX-License-Identifier: Apache-2.0
"""Order and number of what passes a unit, by colouring two neighbours (Wolper 1986).

A unit that moves words without looking at them loses, repeats, invents or swaps some word exactly
if it does so when all words are 0 but two that follow each other, which are 1. So no counting is
needed.
"""

from __future__ import annotations

from amaranth.hdl import Signal, Value, ValueLike

from hw_tests.formal.bench import Bench

__all__ = ["Coloured"]


class Coloured:
    """Assumes that the words of `came` (a transfer) and `word` are 0*110*, checks that those of
    `left` are as well.

    `word` and `out` are single bits of the payloads. `empty`: nothing is on its way, so both must
    have left.
    """

    def __init__(
        self,
        bench: Bench,
        name: str,
        *,
        came: ValueLike,
        word: Value,
        left: ValueLike,
        out: Value,
        empty: ValueLike,
    ) -> None:
        m = bench.m
        any_came = Signal(name=f"{name}_any_came")
        sent, seen = Signal(2, name=f"{name}_sent"), Signal(2, name=f"{name}_seen")
        with m.If(came):
            m.d.sync += any_came.eq(1)
            with m.If(word | (sent == 1)):
                m.d.sync += sent.eq(sent + 1)
        with m.If(left):
            with m.If(out | (seen == 1)):
                m.d.sync += seen.eq(seen + 1)
        bench.assume(~Value.cast(came) | (word == (sent == 1)) | (word & (sent == 0)))
        bench.check(f"{name}_invented", ~Value.cast(left) | any_came)
        bench.check(
            f"{name}_order",
            ~Value.cast(left) | ((seen != 1) & ~out) | ((seen != 2) & out & (seen < sent)),
        )
        bench.check(f"{name}_lost", ~Value.cast(empty) | (seen == sent))
        bench.cover(f"{name}_passed", seen == 2)
