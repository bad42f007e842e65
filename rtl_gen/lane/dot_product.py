# SPDX-License-Identifier: Apache-2.0
"""Two rows of the array: W multipliers, of which each serves both, and the adder trees behind
them."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.rows import PAIRED_ELEMENT, row_sum_bits
from rtl_gen.lane.packed_tree import PackedTree
from rtl_gen.lane.product_pair import ProductPair
from rtl_gen.lane.sum_tree import SumTree

__all__ = ["DotProductPair", "operand_bits"]


def operand_bits(config: AcceleratorConfig) -> int:
    """Bits n of a signed operand element: an INT8 activation, or a probability less 2^(n-1)."""
    return max(8, config.probability_bits)


class DotProductPair(wiring.Component):
    """o_sums[r] = sum over w of rows[r][w] * x[w], r < 2.

    Members (n = `operand_bits(config)`)
    -------
    i_rows: In, W of PAIRED_ELEMENT: the two rows, each element within -127..127.
    i_operand: In, W elements, signed n: x, or x - 2^(n-1) with i_probabilities.
    i_probabilities: In, with i_operand.
    i_row_sums: In, the sums of the two rows' elements; belong to the rows of `row_sum(config)`
        cycles before.
    o_sums: Out, 2 of signed `sum_bits(config)`, exact.

    Latency: `LATENCY` = log2(W) + 3 cycles from i_rows. Throughput: two rows per cycle. No
    back-pressure, no rounding.

    A `ProductPair` for every two elements, a `PackedTree` that adds both rows in one, then a
    `SumTree` for each row; where a lower sum is negative, its upper one is one too small, which the
    tree of the upper row adds at a carry input. What is missing of the products with probabilities,
    2^(n-1) times the sum of the row, is the last operand of the tree.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.LATENCY = self.latency(config)
        width, sum_shape = config.width, signed(self.sum_bits(config))
        super().__init__(
            {
                "i_rows": In(data.ArrayLayout(PAIRED_ELEMENT, width)),
                "i_operand": In(data.ArrayLayout(signed(operand_bits(config)), width)),
                "i_probabilities": In(1),
                "i_row_sums": In(data.ArrayLayout(signed(row_sum_bits(config)), 2)),
                "o_sums": Out(data.ArrayLayout(sum_shape, 2)),
            }
        )

    @staticmethod
    def latency(config: AcceleratorConfig) -> int:
        """Cycles from i_rows to o_sums."""
        return (config.width - 1).bit_length() + 3

    @staticmethod
    def row_sum(config: AcceleratorConfig) -> int:
        """Cycles from i_rows to i_row_sums: they are used as late as they can be."""
        return DotProductPair.latency(config) - 2

    @staticmethod
    def sum_bits(config: AcceleratorConfig) -> int:
        """Bits of the exact signed sum."""
        return 8 + operand_bits(config) + (config.width - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bits = self.config, operand_bits(self.config)
        m.submodules.packed = packed = PackedTree(terms=config.width // 2, bits=bits + 8)
        for index in range(config.width // 2):
            m.submodules[f"pair_{index}"] = pair = ProductPair(operand_bits=bits)
            for side in range(2):
                m.d.comb += [
                    pair.i_elements[side].eq(self.i_rows[2 * index + side]),
                    pair.i_operand[side].eq(self.i_operand[2 * index + side]),
                ]
            m.d.comb += [
                packed.i_low[index].eq(pair.o_low),
                packed.i_high[index].eq(pair.o_high),
            ]
        probabilities = delayed(m, self.i_probabilities, self.row_sum(config), "probabilities")
        borrows = Cat(low < 0 for low in packed.o_low)
        for row, (terms, carries) in enumerate(
            ((packed.o_high, borrows), (packed.o_low, Const(0, 1)))
        ):
            m.submodules[f"tree_{row}"] = tree = SumTree(
                terms=len(terms),
                bits=packed.FIELD_BITS,
                last_bits=bits - 1 + row_sum_bits(config),
                sum_bits=self.sum_bits(config),
            )
            missing = Signal(signed(row_sum_bits(config)), name=f"missing_{row}", reset_less=True)
            m.d.sync += missing.eq(Mux(probabilities, self.i_row_sums[row], 0))
            m.d.comb += [
                tree.i_terms.eq(terms),
                tree.i_carries.eq(carries),
                tree.i_last.eq(Cat(Const(0, bits - 1), missing)),
                self.o_sums[row].eq(tree.o_sum),
            ]
        return m
