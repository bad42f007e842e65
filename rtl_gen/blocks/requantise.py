# SPDX-License-Identifier: Apache-2.0
"""The requantise unit: the one place where the one rounding rule is built."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.numerics import MULTIPLIER_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.shift_stages import shift_digits, shifted_within

__all__ = ["VALUE_BITS", "Requantise"]

VALUE_BITS = 36
_LOW_BITS = 17
_PRODUCT_BITS = VALUE_BITS + MULTIPLIER_BITS
_RADICES = (4, 4, 3)
"""Of the digits of a shift by 0..47."""
_WIDE_BITS = 16
_NARROW_BITS = 8


class Requantise(wiring.Component):
    """o_value = saturate((i_value*i_multiplier + 2^(i_shift-1)) >> i_shift), max(0, .) if relu.

    Members
    -------
    i_value: In(signed 36).
    i_multiplier: In(unsigned 16).
    i_shift: In(6), 1..47; 0 gives an undefined value, nothing else.
    i_wide: In(1), 1 saturates to -2^15..2^15-1, 0 to -127..127.
    i_relu: In(1), negative results become 0.
    o_value: Out(signed 16).

    Latency: `LATENCY` cycles. Throughput: one value per cycle. No back-pressure, no valid: the
    caller delays its own.
    Rounding: half up, on the exact 52-bit product (`meadow.spec.numerics.requantise`).

    The product is two DSP48E2 multiplies: the low 17 bits, then the high 19 bits plus the low
    product >> 17, which is the DSP's own cascade. The shifter stops one bit short, keeping no more
    than saturation leaves; rounding adds the last shifted-out bit, which equals adding 2^(shift-1)
    before the shift.
    """

    LATENCY = 9

    def __init__(self) -> None:
        super().__init__(
            {
                "i_value": In(signed(VALUE_BITS)),
                "i_multiplier": In(unsigned(MULTIPLIER_BITS)),
                "i_shift": In(unsigned(6)),
                "i_wide": In(1),
                "i_relu": In(1),
                "o_value": Out(signed(16)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        value = Signal(signed(VALUE_BITS), reset_less=True)
        multiplier = Signal(MULTIPLIER_BITS, reset_less=True)
        m.d.sync += [value.eq(self.i_value), multiplier.eq(self.i_multiplier)]
        high_value = delayed(m, value[_LOW_BITS:].as_signed(), 1, "high_value")
        high_multiplier = delayed(m, multiplier, 1, "high_multiplier")

        low_product = Signal(_LOW_BITS + MULTIPLIER_BITS, reset_less=True)
        low_sum = Signal.like(low_product)
        high_product = Signal(signed(_PRODUCT_BITS - _LOW_BITS), reset_less=True)
        high_sum = Signal.like(high_product)
        m.d.sync += [
            low_product.eq(value[:_LOW_BITS] * multiplier),
            low_sum.eq(low_product),
            high_product.eq(high_value * high_multiplier),
            high_sum.eq(high_product + low_sum[_LOW_BITS:]),
        ]
        low_bits = delayed(m, low_sum[:_LOW_BITS], 1, "low_bits")

        amount = Signal(6, reset_less=True)
        m.d.sync += amount.eq(self.i_shift - 1)
        digits = [
            delayed(m, digit, 3, f"digit{place}")
            for place, digit in enumerate(shift_digits(amount, _RADICES))
        ]
        product = Cat(low_bits, high_sum).as_signed()
        window = shifted_within(
            m, product, digits, radices=_RADICES, bits=1 + _WIDE_BITS, name="shifted"
        )

        # Rounding by one more leaves the range at one value only, which the sign tells.
        wide = delayed(m, self.i_wide, self.LATENCY - 2, "wide")
        relu = delayed(m, self.i_relu, self.LATENCY - 2, "relu")
        rounded = Signal(_WIDE_BITS, reset_less=True)
        exceeds = Signal(reset_less=True)
        zero = Signal(reset_less=True)
        m.d.sync += [
            rounded.eq(Cat(window.kept[1:], window.negative) + window.kept[0]),
            exceeds.eq(window.beyond | (~wide & window.differs(_NARROW_BITS, _WIDE_BITS))),
            zero.eq(relu & window.negative),
        ]
        negative = delayed(m, window.negative, 1, "negative")
        wide = delayed(m, wide, 1, "wide_rounded")

        low = rounded[: _NARROW_BITS - 1]
        over = ~negative & Mux(wide, rounded[-1], rounded[_NARROW_BITS - 1])
        # -128, not a 0 that was negative before it was rounded.
        under = negative & ~wide & rounded[_NARROW_BITS - 1] & ~low.any()
        clamped = Cat(
            ~negative | ~wide,
            (~negative).replicate(_NARROW_BITS - 2),
            (negative ^ wide).replicate(_WIDE_BITS - _NARROW_BITS),
            negative,
        )
        result = payload_register(m, self.o_value, "result")
        m.d.sync += result.eq(
            Mux(zero, 0, Mux(exceeds | over | under, clamped, rounded)).as_signed()
        )
        return m
