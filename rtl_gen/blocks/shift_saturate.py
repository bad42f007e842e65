# SPDX-License-Identifier: Apache-2.0
"""Second half of a requantisation: arithmetic right shift and saturation."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register

__all__ = ["ShiftSaturate"]


class ShiftSaturate(wiring.Component):
    """o = numerics.saturate(i >> shift, bits), or with `narrow` numerics.saturate(i >> shift, 8):
    to the full range of `bits`, or to -127..127.

    The rounding half, 2^(shift-1), is added before: where the multiplier's adder does it for
    nothing. Requantise has a shifter of its own because its multipliers have no adder left: it
    would need one of 52 bits in every lane, and a cycle more.

    Parameters
    ----------
    in_bits: width of the signed input.
    bits: width of the signed output, 9 or more and less than in_bits.

    Members
    -------
    i: In(signed in_bits).
    shift: In(6), 0..63.
    narrow: In(1), NARROW_DELAY cycles after i; several shifters share this delay.
    o: Out(signed bits).

    Latency: LATENCY cycles (three of shifting, one of saturation). Throughput: one per cycle; shift
        may change.
    """

    NARROW_DELAY = 3
    LATENCY = NARROW_DELAY + 1

    def __init__(self, *, in_bits: int, bits: int) -> None:
        self._bits = bits
        super().__init__(
            {
                "i": In(signed(in_bits)),
                "shift": In(6),
                "narrow": In(1),
                "o": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value: Value = self.i
        for stage, low in enumerate((4, 2, 0)):
            amount = delayed(m, self.shift[low : low + 2], stage, f"amount{low}")
            shifted = Signal(value.shape(), name=f"shifted{low}", reset_less=True)
            with m.Switch(amount):
                for case in range(4):
                    with m.Case(case):
                        m.d.sync += shifted.eq(value >> (case << low))
            value = shifted
        # Bits that equal the sign of a value that fits, in 8 bits and in `bits`.
        low, middle, high = value[:7], value[7 : self._bits - 1], value[self._bits - 1 : -1]
        negative = value[-1]
        above = ~negative & (high.any() | self.narrow & middle.any())
        below = negative & (~high.all() | self.narrow & (~middle.all() | ~low.any()))
        high_clamp = Cat(Const(-1, 7), (~self.narrow).replicate(len(middle)), Const(0, 1))
        low_clamp = Cat(self.narrow, Const(0, 6), self.narrow.replicate(len(middle)), Const(1, 1))
        result = payload_register(m, self.o, "result")
        m.d.sync += result.eq(Mux(above, high_clamp, Mux(below, low_clamp, value[: self._bits])))
        return m
