# SPDX-License-Identifier: Apache-2.0
"""Wide products, one per cycle, with the declared latency."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw_tests.seeds import salted
from rtl_gen.blocks.product import Product


def _stream(
    dut: Any, inputs: list[dict[str, int]], read: Callable[[Any], Any], latency: int
) -> list[Any]:
    """Outputs `latency` cycles after each of `inputs`, which are applied in consecutive cycles."""
    outputs = []

    async def process(ctx):
        for cycle in range(len(inputs) + latency):
            for name, value in inputs[min(cycle, len(inputs) - 1)].items():
                ctx.set(getattr(dut, name), value)
            if cycle >= latency:
                outputs.append(read(ctx))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(process)
    simulator.run()
    return outputs


@pytest.mark.parametrize(("a_bits", "b_bits"), [(45, 16), (30, 30), (16, 16), (32, 20), (16, 19)])
def test_product(a_bits: int, b_bits: int) -> None:
    rng = random.Random(salted(a_bits))
    pairs = [(2**a_bits - 1, 2**b_bits - 1), (0, 5), (2 ** (a_bits - 1), 3)]
    pairs += [(rng.getrandbits(a_bits), rng.getrandbits(b_bits)) for _ in range(50)]
    dut = Product(a_bits=a_bits, b_bits=b_bits)
    outputs = _stream(
        dut, [{"i_a": a, "i_b": b} for a, b in pairs], lambda ctx: ctx.get(dut.o), dut.LATENCY
    )
    assert outputs == [a * b for a, b in pairs]


def test_product_refuses_more_than_four_partial_products() -> None:
    with pytest.raises(ValueError, match="at most 4 partial products, not 6"):
        Product(a_bits=33, b_bits=32)
