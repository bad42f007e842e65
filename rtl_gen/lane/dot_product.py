# SPDX-License-Identifier: Apache-2.0
"""One row of the array: W multipliers and their adder tree."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed

__all__ = ["DotProduct", "operand_bits"]


def operand_bits(config: AcceleratorConfig) -> int:
    """Bits of a signed operand element: an INT8 activation or an unsigned probability."""
    return max(8, config.probability_bits + 1)


class DotProduct(wiring.Component):
    """o_sum = sum over w of i_row[w] * i_operand[w].

    Members
    -------
    i_row: In, W elements, signed 8.
    i_operand: In, W elements, signed `operand_bits(config)`; belongs to the row of the cycle
        *before* (it is a register that a row's own `swap` loads).
    o_sum: Out, signed, exact.

    Latency: `LATENCY` = log2(W) + 3 cycles from i_row. Throughput: one row per cycle. No
    back-pressure, no rounding.

    One DSP48E2 per multiply. Neighbours are added by the second one's post-adder (its operands
    arrive one cycle later, in the DSP's second input registers), which halves the adder tree in
    logic; the tree has one register per level.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.LATENCY = self.latency(config)
        super().__init__(
            {
                "i_row": In(data.ArrayLayout(signed(8), config.width)),
                "i_operand": In(data.ArrayLayout(signed(operand_bits(config)), config.width)),
                "o_sum": Out(signed(self.sum_bits(config))),
            }
        )

    @staticmethod
    def latency(config: AcceleratorConfig) -> int:
        """Cycles from i_row to o_sum."""
        return (config.width - 1).bit_length() + 3

    @staticmethod
    def sum_bits(config: AcceleratorConfig) -> int:
        """Bits of the exact signed sum."""
        return 8 + operand_bits(config) + (config.width - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = 8 + operand_bits(self.config)
        sums = []
        for element in range(0, self.config.width, 2):
            even = delayed(m, self.i_row[element], 1, f"even_{element}")
            even_product = Signal(signed(bits), name=f"even_product_{element}", reset_less=True)
            even_sum = Signal(signed(bits), name=f"even_sum_{element}", reset_less=True)
            odd = delayed(m, self.i_row[element + 1], 2, f"odd_{element}")
            odd_operand = delayed(m, self.i_operand[element + 1], 1, f"odd_operand_{element}")
            odd_product = Signal(signed(bits), name=f"odd_product_{element}", reset_less=True)
            pair = Signal(signed(bits + 1), name=f"pair_{element}", reset_less=True)
            m.d.sync += [
                even_product.eq(even * self.i_operand[element]),
                even_sum.eq(even_product),
                odd_product.eq(odd * odd_operand),
                pair.eq(even_sum + odd_product),
            ]
            sums.append(pair)
        level = 0
        while len(sums) > 1:
            level += 1
            parents = []
            for index in range(0, len(sums), 2):
                parent = Signal(
                    signed(len(sums[index]) + 1), name=f"sum_{level}_{index // 2}", reset_less=True
                )
                m.d.sync += parent.eq(sums[index] + sums[index + 1])
                parents.append(parent)
            sums = parents
        m.d.comb += self.o_sum.eq(sums[0])
        return m
