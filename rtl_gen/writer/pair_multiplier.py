# SPDX-License-Identifier: Apache-2.0
"""Four products of a pair of channels: a rotation of the pair, or a factor for each channel."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.shift_saturate import ShiftSaturate

__all__ = ["PairMultiplier"]

_PRODUCT_BITS = 32
_SUM_BITS = 33
"""Two products and the rounding half: at most 2^31 + 2^30 in size."""


class PairMultiplier(wiring.Component):
    """o_x = sat((x*a - y*c + half) >> shift); o_y = sat((y*b + x*c + half) >> shift), sat to 16
    bits or with `narrow` to -127..127.

    numerics.rotate with a = b = cosine, c = sine and `narrow`; numerics.gate of each channel with a
    and b the other factors, c = 0; both with half = 2^(shift-1).

    Members
    -------
    x, y, a, b, c: In(signed 16), all of one cycle.
    half: In(31), HALF_DELAY cycles after x; all pairs share this delay.
    shift: In(6), 1..31, SHIFT_DELAY cycles after x, likewise.
    narrow: In(1), NARROW_DELAY cycles after x, likewise.
    o_x, o_y: Out(signed 16).

    Latency: LATENCY cycles from x to o_x (input, product, two sums, ShiftSaturate). Throughput: one
    pair per cycle. Exact until the shift. Four DSP48E2: the first of a sum adds the half, the
    second, one cycle later, takes the first's cascade.
    """

    HALF_DELAY = 1
    SHIFT_DELAY = 4
    NARROW_DELAY = SHIFT_DELAY + ShiftSaturate.NARROW_DELAY
    LATENCY = SHIFT_DELAY + ShiftSaturate.LATENCY

    def __init__(self) -> None:
        super().__init__(
            {
                **{name: In(signed(16)) for name in ("x", "y", "a", "b", "c")},
                "half": In(31),
                "shift": In(6),
                "narrow": In(1),
                "o_x": Out(signed(16)),
                "o_y": Out(signed(16)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        x, y = delayed(m, self.x, 1, "x"), delayed(m, self.y, 1, "y")
        c = delayed(m, self.c, 1, "c")
        late_x, late_y, late_c = (
            delayed(m, value, 1, name)
            for value, name in ((x, "late_x"), (y, "late_y"), (c, "late_c"))
        )
        half = delayed(m, self.half, 1, "half")

        def product(left: Value, right: Value, name: str) -> Signal:
            register = Signal(signed(_PRODUCT_BITS), name=name, reset_less=True)
            m.d.sync += register.eq(left * right)
            return register

        x_first = product(x, delayed(m, self.a, 1, "a"), "x_first")
        y_first = product(y, delayed(m, self.b, 1, "b"), "y_first")
        x_second = product(late_y, late_c, "x_second")
        y_second = product(late_x, late_c, "y_second")
        x_half, y_half, x_sum, y_sum = (
            Signal(signed(_SUM_BITS), name=name, reset_less=True)
            for name in ("x_half", "y_half", "x_sum", "y_sum")
        )
        m.d.sync += [
            x_half.eq(x_first + half),
            y_half.eq(y_first + half),
            x_sum.eq(x_half - x_second),
            y_sum.eq(y_half + y_second),
        ]
        for name, total, output in (("x", x_sum, self.o_x), ("y", y_sum, self.o_y)):
            m.submodules[f"shift_{name}"] = shifter = ShiftSaturate(
                in_bits=_SUM_BITS, bits=16, radices=(4, 4, 2)
            )
            m.d.comb += [
                shifter.i.eq(total),
                shifter.shift.eq(self.shift),
                shifter.narrow.eq(self.narrow),
                output.eq(shifter.o),
            ]
        return m
