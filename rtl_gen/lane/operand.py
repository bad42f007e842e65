# SPDX-License-Identifier: Apache-2.0
"""A lane's stationary operand: the active x, its exponent, and the shadow that is filled behind
them.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.lane.dot_product import operand_bits

__all__ = ["Operand"]


class Operand(wiring.Component):
    """Shadow and active register of W operand elements and their exponent.

    Members
    -------
    i_word: In, a word for the shadow; one of the next three at most says that there is one.
    i_int8: In, it has W bytes, sign-extended, element 0 in the low byte.
    i_exponent: In, with i_int8, the exponent of the shadow. Any other fill makes it 0.
    i_low: In, it has W/2 elements of 16 bits, probabilities in the low probability_bits, for shadow
        elements 0 .. W/2-1.
    i_high: In, the same for shadow elements W/2 .. W-1.
    i_fetch: In, R probabilities go to the shadow.
    i_probabilities: In, the R probabilities, unsigned.
    i_index: In, they are shadow elements i_index*R.. .
    i_swap: In, the shadow's contents *before* this cycle's fill become active.
    o_active: Out, W elements, signed n = `operand_bits(config)`, from the cycle after i_swap on: an
        INT8 element, or a probability less 2^(n-1), which is its highest bit inverted.
    o_probabilities: Out, they are probabilities, with o_active. The last fill says so for all: who
        fills probabilities fills all W of them before a swap.
    o_exponent: Out, their exponent, with o_active.

    Latency 1 cycle, one fill and one swap per cycle, no back-pressure. A word wins over a fetch of
    the same cycle, element by element.
    """

    LATENCY = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        elements = data.ArrayLayout(signed(operand_bits(config)), config.width)
        super().__init__(
            {
                "i_int8": In(1),
                "i_exponent": In(EXPONENT_BITS),
                "i_low": In(1),
                "i_high": In(1),
                "i_word": In(8 * config.width),
                "i_fetch": In(1),
                "i_index": In(range(config.tile_cycles)),
                "i_probabilities": In(data.ArrayLayout(config.probability_bits, config.rows)),
                "i_swap": In(1),
                "o_active": Out(elements),
                "o_probabilities": Out(1),
                "o_exponent": Out(EXPONENT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, half = self.config.rows, self.config.width // 2
        bits, offset = self.config.probability_bits, 1 << (operand_bits(self.config) - 1)
        exponent = Signal(EXPONENT_BITS, name="shadow_exponent", reset_less=True)
        probabilities = Signal(name="shadow_probabilities", reset_less=True)
        active_exponent = Signal(EXPONENT_BITS, reset_less=True)
        active_probabilities = Signal(reset_less=True)
        with m.If(self.i_int8):
            m.d.sync += [exponent.eq(self.i_exponent), probabilities.eq(0)]
        with m.Elif(self.i_low | self.i_high | self.i_fetch):
            m.d.sync += [exponent.eq(0), probabilities.eq(1)]
        with m.If(self.i_swap):
            m.d.sync += [active_exponent.eq(exponent), active_probabilities.eq(probabilities)]
        m.d.comb += [
            self.o_exponent.eq(active_exponent),
            self.o_probabilities.eq(active_probabilities),
        ]
        active = []
        for index in range(self.config.tile_cycles):
            fetched = Signal(name=f"fetched_{index}")
            m.d.comb += fetched.eq(self.i_fetch & (self.i_index == index))
            for row in range(rows):
                element = index * rows + row
                shape = signed(operand_bits(self.config))
                shadow = Signal(shape, name=f"shadow_{element}", reset_less=True)
                register = Signal(shape, name=f"active_{element}", reset_less=True)
                with m.If(self.i_int8):
                    m.d.sync += shadow.eq(self.i_word.word_select(element, 8).as_signed())
                with m.Elif(self.i_low if element < half else self.i_high):
                    probability = self.i_word.word_select(element % half, 16)[:bits]
                    m.d.sync += shadow.eq(probability ^ offset)
                with m.Elif(fetched):
                    m.d.sync += shadow.eq(self.i_probabilities[row] ^ offset)
                with m.If(self.i_swap):
                    m.d.sync += register.eq(shadow)
                active.append(register)
        m.d.comb += [self.o_active[element].eq(value) for element, value in enumerate(active)]
        return m
