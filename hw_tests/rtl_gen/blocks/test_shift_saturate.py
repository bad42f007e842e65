# SPDX-License-Identifier: Apache-2.0
"""Shift and saturation against numerics, one value per cycle, with the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from meadow.spec.numerics import saturate
from rtl_gen.blocks.shift_saturate import ShiftSaturate


@pytest.mark.parametrize(("in_bits", "bits"), [(48, 16), (35, 8), (49, 25)])
def test_shift_saturate(in_bits: int, bits: int) -> None:
    rng = random.Random(salted(in_bits))
    half = 1 << (in_bits - 1)
    cases = [(value, shift) for value in (-half, half - 1, -1, 0) for shift in range(48)]
    for shift in range(1, 40):
        for edge in (127, -127, -128, 128, 32767, -32768, 32768, -32769, 2**24, -(2**24) - 1):
            value = (edge << shift) + rng.randrange(1 << shift)
            if -half <= value < half:
                cases.append((value, shift))
    cases += [
        (rng.getrandbits(rng.randrange(1, in_bits)) - rng.choice([0, half]), rng.randrange(48))
        for _ in range(300)
    ]
    dut = ShiftSaturate(in_bits=in_bits, bits=bits)
    inputs = [{"i": value, "shift": shift} for value, shift in cases]
    outputs = pipelined(dut, inputs, lambda ctx: ctx.get(dut.o), latency=dut.LATENCY)
    assert outputs == [saturate(value >> shift, bits) for value, shift in cases]
