# SPDX-License-Identifier: Apache-2.0
"""Four products of two rows in two multipliers: a cascaded pair, and its two sums taken apart."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.rows import PAIRED_ELEMENT

__all__ = ["ProductPair"]


class ProductPair(wiring.Component):
    """o_low = sum of w1[e] * x[e], o_high + (o_low < 0) = sum of w0[e] * x[e], over two elements e.

    Parameters
    ----------
    operand_bits: bits n of an operand element.

    Members
    -------
    i_elements: In, 2 of PAIRED_ELEMENT: w0 and w1, each within -127..127, of two elements.
    i_operand: In, their 2 operand elements, signed n.
    o_low: Out, signed n + 8.
    o_high: Out, signed n + 8.

    Latency: `LATENCY` cycles from i_elements. Throughput: one pair per cycle. No back-pressure, no
    rounding.

    With k = n + 7 a multiplier forms (w0 * 2^k + w1) * x: for n = 12 one DSP48E2, 27 by 12 bits.
    The second one adds the first one's product (PCIN); its factors come one cycle later (A2, B2).
    The sum of two w1 * x has n + 8 signed bits, one more than its field of k: its sign is in the
    lowest bit of the upper field, added to the lowest bit of the sum of w0 * x. That bit is the
    parity of the products of lowest bits, one LUT, so the sign comes back, and where it is 1 the
    upper field is one too small.
    """

    LATENCY = 4

    def __init__(self, *, operand_bits: int) -> None:
        self._bits = operand_bits
        self.SHIFT = operand_bits + 7
        super().__init__(
            {
                "i_elements": In(data.ArrayLayout(PAIRED_ELEMENT, 2)),
                "i_operand": In(data.ArrayLayout(signed(operand_bits), 2)),
                "o_low": Out(signed(operand_bits + 8)),
                "o_high": Out(signed(operand_bits + 8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shift = self.SHIFT
        shape = signed(shift + self._bits + 8)
        odd = [element.odd for element in self.i_elements]

        # Registers of the multipliers: nothing else may look at them, or they cannot be in a DSP.
        factors, operands = [], []
        for index, name in enumerate(("first", "second")):
            factor = self._factor(self.i_elements[index])
            factors.append(delayed(m, factor, index + 1, name))
            operands.append(delayed(m, self.i_operand[index], index + 1, f"{name}_operand"))
        first_product = Signal(shape, reset_less=True)
        first_sum = Signal(shape, reset_less=True)
        second_product = Signal(shape, reset_less=True)
        both = Signal(shape, reset_less=True)
        m.d.sync += [
            first_product.eq(self._times(factors[0], operands[0])),
            first_sum.eq(first_product),
            second_product.eq(self._times(factors[1], operands[1])),
            both.eq(first_sum + second_product),
        ]

        parity = Signal(reset_less=True)
        m.d.sync += parity.eq((odd[0] & self.i_operand[0][0]) ^ (odd[1] & self.i_operand[1][0]))
        negative = Signal()
        m.d.comb += [
            negative.eq(both[shift] ^ delayed(m, parity, 3, "parity")),
            self.o_low.eq(Cat(both[:shift], negative)),
            self.o_high.eq(both[shift:]),
        ]
        return m

    def _times(self, factor: Value, operand: Value) -> Value:
        """Their product; a proof leaves it out."""
        return factor * operand

    def _factor(self, element: data.View) -> Value:
        """w0 * 2^k + w1, without an adder."""
        low = element.low
        return Cat(low, low[-1].replicate(self.SHIFT - len(low)), element.high).as_signed()
