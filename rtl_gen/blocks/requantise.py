# SPDX-License-Identifier: Apache-2.0
"""The requantise unit: the one place where the one rounding rule is built."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.numerics import LIMIT_INT8, MULTIPLIER_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register

__all__ = ["VALUE_BITS", "Requantise"]

VALUE_BITS = 36
_LOW_BITS = 17
_PRODUCT_BITS = VALUE_BITS + MULTIPLIER_BITS
_KEPT_BITS = 18


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
    product >> 17, which is the DSP's own cascade. The shifter stops one bit short; rounding adds
    the last shifted-out bit, which equals adding 2^(shift-1) before the shift.
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

        # The shift by i_shift - 1 takes two 8:1 multiplexers, three bits of the amount each.
        amount = Signal(6, reset_less=True)
        m.d.sync += amount.eq(self.i_shift - 1)
        fine = delayed(m, amount, 3, "fine")
        coarse = delayed(m, fine[3:], 1, "coarse")
        product = Cat(low_bits, high_sum).as_signed()
        shifted_fine = Signal(signed(_PRODUCT_BITS), reset_less=True)
        shifted = Signal(signed(_PRODUCT_BITS), reset_less=True)
        m.d.sync += [
            shifted_fine.eq(product >> fine[:3]),
            shifted.eq(shifted_fine >> Cat(Const(0, 3), coarse)),
        ]

        # Saturation needs 17 bits of the result; what lies above only has to equal the sign.
        kept = Signal(signed(_KEPT_BITS), reset_less=True)
        exceeds = Signal(reset_less=True)
        negative = Signal(reset_less=True)
        above = shifted[_KEPT_BITS - 1 :]
        m.d.sync += [
            kept.eq(shifted[:_KEPT_BITS].as_signed()),
            exceeds.eq(above.any() & ~above.all()),
            negative.eq(shifted[-1]),
        ]
        rounded = Signal(signed(_KEPT_BITS), reset_less=True)
        m.d.sync += rounded.eq((kept + 1) >> 1)
        exceeds = delayed(m, exceeds, 1, "exceeds_rounded")
        negative = delayed(m, negative, 1, "negative_rounded")

        wide = delayed(m, self.i_wide, self.LATENCY - 1, "wide")
        relu = delayed(m, self.i_relu, self.LATENCY - 1, "relu")
        over = Mux(wide, rounded > (1 << 15) - 1, rounded > LIMIT_INT8)
        under = Mux(wide, rounded < -(1 << 15), rounded < -LIMIT_INT8)
        highest = Mux(wide, (1 << 15) - 1, LIMIT_INT8)
        lowest = Mux(relu, 0, Mux(wide, -(1 << 15), -LIMIT_INT8))
        result = payload_register(m, self.o_value, "result")
        with m.If(Mux(exceeds, negative, under)):
            m.d.sync += result.eq(lowest)
        with m.Elif(exceeds | over):
            m.d.sync += result.eq(highest)
        with m.Elif(relu & rounded[-1]):
            m.d.sync += result.eq(0)
        with m.Else():
            m.d.sync += result.eq(rounded)
        return m
