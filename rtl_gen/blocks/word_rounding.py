# SPDX-License-Identifier: Apache-2.0
"""Words of 16-bit values to words of bytes with an exponent."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.numerics import EXPONENT_BITS, LARGEST_EXPONENT, LIMIT_INT8
from rtl_gen.blocks.delay import delayed

__all__ = ["WordRounding"]

_LOW_BITS = 7
"""Bits of a magnitude that need no exponent."""
_GROUP = 16
"""Values whose magnitudes the first stage puts together: two levels of LUT6."""
_KEPT_BITS = LARGEST_EXPONENT + 3
"""A value shifted by its word's exponent, and the bit below it: the largest exponent leaves 9 bits
of 16, a smaller one no more than 8.
"""


class WordRounding(wiring.Component):
    """o_exponent = numerics.word_exponent(i), o = numerics.word_values(i, o_exponent).

    v ^ sign is max(v, ~v); the OR of it over the word has as many bits as the largest of it, so no
    value is compared with another.

    Parameters
    ----------
    width: values of a word, W.

    Members
    -------
    i: In(16*W), W signed 16-bit values.
    o: Out(8*W), W signed bytes.
    o_exponent: Out(EXPONENT_BITS), with o.

    Latency: LATENCY cycles (OR of each group of values, exponent, shift, rounding with saturation).
    Throughput: one word per cycle. No back-pressure, no valid: the caller delays its own. Rounding
        half up, saturation to -127..127.
    """

    LATENCY = 4

    def __init__(self, *, width: int) -> None:
        self._width = width
        super().__init__(
            {"i": In(16 * width), "o": Out(8 * width), "o_exponent": Out(EXPONENT_BITS)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exponent = self._exponent(m)
        late = delayed(m, self.i, 2, "values")
        results: list[Value] = []
        for number in range(self._width):
            value = late.word_select(number, 16)
            # The exponent 0 shifts a zero into the place of the rounding bit. The largest leaves 9
            # bits, where a smaller one repeats the sign in the highest of them.
            coarse = Mux(exponent[2], value[3:], Cat(Const(0, 1), value[:11]))
            moved = Array(coarse[step : step + _KEPT_BITS - 2] for step in range(4))[exponent[:2]]
            ninth = Mux(exponent == LARGEST_EXPONENT, value[14], value[15])
            shifted = Signal(signed(_KEPT_BITS), name=f"shifted{number}", reset_less=True)
            rounded = shifted[1:].as_signed() + shifted[0]
            result = Signal(signed(8), name=f"result{number}", reset_less=True)
            m.d.sync += [
                shifted.eq(Cat(moved, ninth, value[15])),
                result.eq(
                    Mux(
                        rounded > LIMIT_INT8,
                        LIMIT_INT8,
                        Mux(rounded < -LIMIT_INT8, -LIMIT_INT8, rounded),
                    )
                ),
            ]
            results.append(result)
        m.d.comb += [
            self.o.eq(Cat(*results)),
            self.o_exponent.eq(delayed(m, exponent, 2, "late_exponent")),
        ]
        return m

    def _exponent(self, m: Module) -> Signal:
        """Of the word, two cycles later."""
        groups: list[Value] = []
        for first in range(0, self._width, _GROUP):
            values = [
                self.i.word_select(number, 16)
                for number in range(first, min(first + _GROUP, self._width))
            ]
            group = Signal(15 - _LOW_BITS, name=f"group{first // _GROUP}", reset_less=True)
            sizes = [value[_LOW_BITS:15] ^ value[15].replicate(len(group)) for value in values]
            m.d.sync += group.eq(reduce(or_, sizes))
            groups.append(group)
        chosen: Value = Const(0, EXPONENT_BITS)
        for place, bit in enumerate(reduce(or_, groups)):
            chosen = Mux(bit, min(place + 1, LARGEST_EXPONENT), chosen)
        exponent = Signal(EXPONENT_BITS, reset_less=True)
        m.d.sync += exponent.eq(chosen)
        return exponent
