# SPDX-License-Identifier: Apache-2.0
"""Serial reciprocal of a softmax sum, folded into the output's requantisation."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import MAX_SHIFT, MULTIPLIER_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.probability import sum_bits

__all__ = ["Reciprocal"]

_QUOTIENT_BITS = 16


class Reciprocal(wiring.Component):
    """(o_multiplier, o_shift) = numerics.output_scale(i_total, i_multiplier, i_shift).

    Members
    -------
    i_valid: In, strobe that starts a job.
    i_total: In, unsigned `sum_bits(config)`.
    i_multiplier: In, unsigned 16.
    i_shift: In, signed 7.
    o_multiplier: Out, unsigned 16.
    o_shift: Out, 1..47; both keep their values until the next job is done.

    Latency: `LATENCY` = 19 + ceil(log2 sum_bits) cycles from i_valid to both outputs. Throughput:
    one job per LATENCY - 1 cycles; a job that starts earlier replaces the one under way. No
    back-pressure.
    Rounding: floor in normalising and dividing, half up in the product, as the specification says.

    Normalising halves its step each cycle (a binary search for the leading one); the restoring
    divider and the multiplication by i_multiplier both go bit by bit, most significant first, so no
    multiplier is needed. The divider starts with remainder 2^15; a divisor of exactly 2^15 then
    yields sixteen ones, which is the specified 65535.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.LATENCY = 19 + (sum_bits(config) - 1).bit_length()
        super().__init__(
            {
                "i_valid": In(1),
                "i_total": In(unsigned(sum_bits(config))),
                "i_multiplier": In(unsigned(MULTIPLIER_BITS)),
                "i_shift": In(signed(7)),
                "o_multiplier": Out(unsigned(MULTIPLIER_BITS)),
                "o_shift": Out(unsigned(6)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = sum_bits(self.config)
        value_bits = max(bits, _QUOTIENT_BITS)
        normalise_cycles = (bits - 1).bit_length()

        cycle = Signal(range(self.LATENCY))
        with m.If(self.i_valid):
            m.d.sync += cycle.eq(1)
        with m.Elif(cycle == self.LATENCY - 1):
            m.d.sync += cycle.eq(0)
        with m.Elif(cycle != 0):
            m.d.sync += cycle.eq(cycle + 1)

        value = Signal(value_bits, reset_less=True)
        length = Signal(range(bits + 1), reset_less=True)
        zero = Signal(reset_less=True)
        multiplier = Signal(MULTIPLIER_BITS, reset_less=True)
        shift = Signal(signed(8), reset_less=True)
        with m.If(self.i_valid):
            m.d.sync += [
                value.eq(self.i_total << (value_bits - bits)),
                length.eq(bits),
                zero.eq(self.i_total == 0),
                multiplier.eq(self.i_multiplier),
                shift.eq(self.i_shift),
            ]
        for stage in range(normalise_cycles):
            distance = 1 << (normalise_cycles - 1 - stage)
            with m.If((cycle == stage + 1) & ~value[-distance:].any() & ~self.i_valid):
                m.d.sync += [value.eq(value << distance), length.eq(length - distance)]

        first_divide = normalise_cycles + 1
        divisor = value[-_QUOTIENT_BITS:]
        remainder = Signal(_QUOTIENT_BITS + 1, reset_less=True)
        doubled = Signal(_QUOTIENT_BITS + 1)
        difference = Signal(_QUOTIENT_BITS + 2)
        bit = Signal(reset_less=True)
        m.d.comb += [
            doubled.eq(remainder << 1),
            difference.eq(doubled - divisor),
        ]
        fits = ~difference[-1]
        m.d.sync += bit.eq(fits & ~zero)
        with m.If(cycle < first_divide):
            m.d.sync += remainder.eq(1 << (_QUOTIENT_BITS - 1))
        with m.Else():
            m.d.sync += remainder.eq(Mux(fits, difference, doubled))

        product = Signal(_QUOTIENT_BITS + MULTIPLIER_BITS, reset_less=True)
        with m.If(cycle < first_divide + 1):
            m.d.sync += product.eq(0)
        with m.Else():
            m.d.sync += product.eq((product << 1) + Mux(bit, multiplier, 0))

        total_shift = Signal(signed(9), reset_less=True)
        m.d.sync += total_shift.eq(shift + Mux(zero, 0, length))
        clamped = delayed(
            m,
            Mux(total_shift < 1, 1, Mux(total_shift > MAX_SHIFT, MAX_SHIFT, total_shift))[:6],
            1,
            "clamped",
        )
        result = payload_register(m, self.o_multiplier, "result")
        result_shift = payload_register(m, self.o_shift, "result_shift")
        with m.If(cycle == self.LATENCY - 1):
            m.d.sync += [
                result.eq((product + (1 << (_QUOTIENT_BITS - 1))) >> _QUOTIENT_BITS),
                result_shift.eq(clamped),
            ]
        return m
