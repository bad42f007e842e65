# SPDX-License-Identifier: Apache-2.0
"""Shift and saturation against numerics, one value per cycle, with the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from meadow.spec.numerics import saturate
from rtl_gen.blocks.shift_saturate import ShiftSaturate


@pytest.mark.parametrize(("in_bits", "bits"), [(48, 16), (35, 16), (33, 9), (49, 25)])
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
    narrow = [rng.randrange(2) for _ in cases]
    cases, narrow = cases + cases, narrow + [1 - bit for bit in narrow]
    dut = ShiftSaturate(in_bits=in_bits, bits=bits)
    late = [0] * dut.NARROW_DELAY + narrow
    inputs = [
        {"i": value, "shift": shift, "narrow": bit}
        for (value, shift), bit in zip(cases, late, strict=False)
    ]
    inputs += [inputs[-1] | {"narrow": bit} for bit in late[len(cases) :]]
    outputs = pipelined(dut, inputs, lambda ctx: ctx.get(dut.o), latency=dut.LATENCY)
    expected = [
        saturate(value >> shift, 8 if bit else bits)
        for (value, shift), bit in zip(cases, narrow, strict=True)
    ]
    assert outputs[: len(cases)] == expected
