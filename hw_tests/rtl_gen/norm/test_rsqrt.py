# SPDX-License-Identifier: Apache-2.0
"""Reciprocal square root against numerics, one value per cycle, with the declared latency."""

from __future__ import annotations

import random

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from meadow.spec.numerics import rsqrt
from rtl_gen.norm.rsqrt import ReciprocalSquareRoot


def test_reciprocal_square_root() -> None:
    rng = random.Random(salted(5))
    values = [1, 2, 3, 4, 5, 2**32 - 1, 2**32, 2**62 - 1, 2**61, 2**60 - 1]
    values += [1 << bit for bit in range(62)]
    values += [rng.getrandbits(rng.randrange(1, 63)) or 1 for _ in range(400)]
    dut = ReciprocalSquareRoot()
    outputs = pipelined(
        dut,
        [{"value": value} for value in values],
        lambda ctx: (ctx.get(dut.root), ctx.get(dut.half)),
        latency=dut.LATENCY,
    )
    assert outputs == [rsqrt(value) for value in values]
