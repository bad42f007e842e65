# SPDX-License-Identifier: Apache-2.0
"""Reciprocal square root against numerics, one value per cycle, with the declared latency."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from amaranth.sim import Simulator

from hw_tests.seeds import salted
from meadow.spec.numerics import rsqrt
from rtl_gen.norm.rsqrt import ReciprocalSquareRoot


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


def test_reciprocal_square_root() -> None:
    rng = random.Random(salted(5))
    values = [1, 2, 3, 4, 5, 2**32 - 1, 2**32, 2**62 - 1, 2**61, 2**60 - 1]
    values += [1 << bit for bit in range(62)]
    values += [rng.getrandbits(rng.randrange(1, 63)) or 1 for _ in range(400)]
    dut = ReciprocalSquareRoot()
    outputs = _stream(
        dut,
        [{"value": value} for value in values],
        lambda ctx: (ctx.get(dut.root), ctx.get(dut.half)),
        dut.LATENCY,
    )
    assert outputs == [rsqrt(value) for value in values]
