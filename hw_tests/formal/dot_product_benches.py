# SPDX-License-Identifier: Apache-2.0
"""What is proven of the parts of a dot product: the two sums of a cascaded pair of multipliers come
apart again, and the adder tree adds everything once.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Signal, Value, signed

from hw_tests.formal.bench import Bench
from rtl_gen.lane.packed_tree import PackedTree
from rtl_gen.lane.product_pair import ProductPair
from rtl_gen.lane.sum_tree import SumTree

__all__ = ["packed_tree_bench", "product_pair_bench", "sum_tree_bench"]


def _without_multipliers(original: type[ProductPair], bits: int) -> Any:
    """A ProductPair whose multipliers are left out.

    products: what stands in their place; factors, operands: what they would multiply.
    """

    class OpenProductPair(original):
        def __init__(self) -> None:
            super().__init__(operand_bits=bits)
            shape = signed(self.SHIFT + bits + 8)
            self.products = [Signal(shape, name=f"product_{index}") for index in range(2)]
            self.factors: list[Value] = []
            self.operands: list[Value] = []

        def _times(self, factor: Value, operand: Value) -> Value:
            self.factors.append(factor)
            self.operands.append(operand)
            return self.products[len(self.factors) - 1]

    return OpenProductPair()


def product_pair_bench(bits: int, original: type[ProductPair] = ProductPair) -> Bench:
    """Whatever two elements' products are, in the range of products, both sums come back.

    That the multipliers get w0 * 2^k + w1 and x is checked; that they then give
    w0 * x * 2^k + w1 * x is arithmetic. Of w0 * x the lowest bit is tied to its factors.
    """
    bench = Bench("product_pair")
    pair = _without_multipliers(original, bits)
    bench.add(pair)
    m = bench.m
    most = 127 << (bits - 1)
    uppers, lowers = [], []
    for index in range(2):
        late = index + 1  # cycles from the element to its multiplier
        element, x = pair.i_elements[index], pair.i_operand[index]
        w0, w1 = (bench.free(f"w{row}_{index}", signed(8)) for row in range(2))
        for weight in (w0, w1):
            bench.assume(weight != -128)
        bench.assume(element.low == w1)
        bench.assume(element.high == (w0 - (w1 < 0))[:8].as_signed())
        bench.assume(element.odd == w0[0])
        factor = (w0 << pair.SHIFT) + w1
        for name, got, wanted in (
            ("factor", pair.factors[index], _past(bench, factor, late)),
            ("operand", pair.operands[index], _past(bench, x, late)),
        ):
            bench.check(f"{name}_{index}", _filling(bench, late) | (got == wanted))

        upper, lower = (
            bench.free(f"{name}_{index}", signed(bits + 7)) for name in ("upper", "lower")
        )
        for product in (upper, lower):
            bench.assume((product >= -most) & (product <= most))
        odd = _past(bench, w0[0] & x[0], late)
        bench.assume(upper[0] == odd)
        m.d.comb += pair.products[index].eq((upper << pair.SHIFT) + lower)
        stages = 3 - index  # from the multiplier to the output
        uppers.append(_past(bench, upper, stages))
        lowers.append(_past(bench, lower, stages))
    filling = _filling(bench, ProductPair.LATENCY)
    borrow = pair.o_low < 0
    bench.check("high", filling | (pair.o_high + borrow == uppers[0] + uppers[1]))
    bench.check("low", filling | (pair.o_low == lowers[0] + lowers[1]))
    bench.cover("borrow", borrow & ~filling)
    bench.cover("largest", ~filling & (pair.o_low == -2 * most))
    return bench


def packed_tree_bench(tree: PackedTree) -> Bench:
    """Each sum of either row is that of its own neighbours, whatever the terms are."""
    bench = Bench("packed_tree")
    bench.add(tree)
    lows = list(tree.i_low)
    highs = [high + (low < 0) for low, high in zip(tree.i_low, tree.i_high, strict=True)]
    for _ in range(tree.LEVELS):
        lows, highs = (
            [left + right for left, right in zip(terms[0::2], terms[1::2], strict=True)]
            for terms in (lows, highs)
        )
    filling = _filling(bench, tree.LEVELS)
    for index, (low, high) in enumerate(zip(tree.o_low, tree.o_high, strict=True)):
        wanted = _past(bench, highs[index], tree.LEVELS)
        bench.check(f"low_{index}", filling | (low == _past(bench, lows[index], tree.LEVELS)))
        bench.check(f"high_{index}", filling | (high + (low < 0) == wanted))
    most, terms = 1 << (tree.FIELD_BITS - 1), 1 << tree.LEVELS
    bench.cover("least", ~filling & (low == -most) & (high + (low < 0) == terms - most))
    bench.cover("most", ~filling & (low == most - terms) & (high == most - terms))
    return bench


def sum_tree_bench(tree: SumTree) -> Bench:
    """The sum of all terms, their carries and the last operand, each of its own cycle."""
    bench = Bench("sum_tree")
    bench.add(tree)
    bench.assume(tree.i_last[0] == 0)
    # Pair by pair like the tree: solvers are slow where only the order of a sum differs.
    sums = [term + carry for term, carry in zip(tree.i_terms, tree.i_carries, strict=True)]
    while len(sums) > 1:
        sums = [left + right for left, right in zip(sums[0::2], sums[1::2], strict=True)]
    total = sums[0]
    last = _past(bench, tree.i_last, tree.LATENCY - tree.LAST_DELAY)
    wanted = _past(bench, total, tree.LATENCY) + last
    bench.check("sum", _filling(bench, tree.LATENCY) | (tree.o_sum == wanted))
    carried = _past(bench, tree.i_carries.all(), tree.LATENCY)
    bench.cover("all_carries", carried & (last == -(1 << len(tree.i_last) - 1)))
    return bench


def _past(bench: Bench, value: Any, cycles: int) -> Value:
    for _ in range(cycles):
        value = bench.past(value)
    return Value.cast(value)


def _filling(bench: Bench, cycles: int) -> Value:
    """1 in the first `cycles` cycles, before what came in has come through."""
    return ~_past(bench, Const(1, 1), cycles)[0]
