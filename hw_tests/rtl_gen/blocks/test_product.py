# SPDX-License-Identifier: Apache-2.0
"""Wide products, one per cycle, with the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from rtl_gen.blocks.product import Product


@pytest.mark.parametrize(("a_bits", "b_bits"), [(45, 16), (30, 30), (16, 16), (32, 20), (16, 19)])
def test_product(a_bits: int, b_bits: int) -> None:
    rng = random.Random(salted(a_bits))
    pairs = [(2**a_bits - 1, 2**b_bits - 1), (0, 5), (2 ** (a_bits - 1), 3)]
    pairs += [(rng.getrandbits(a_bits), rng.getrandbits(b_bits)) for _ in range(50)]
    dut = Product(a_bits=a_bits, b_bits=b_bits)
    inputs = [{"i_a": a, "i_b": b} for a, b in pairs]
    outputs = pipelined(dut, inputs, lambda ctx: ctx.get(dut.o), latency=dut.LATENCY)
    assert outputs == [a * b for a, b in pairs]


def test_product_refuses_more_than_four_partial_products() -> None:
    with pytest.raises(ValueError, match="at most 4 partial products, not 6"):
        Product(a_bits=33, b_bits=32)
