# SPDX-License-Identifier: Apache-2.0
"""Shift and saturation against numerics, one value per cycle, with the declared latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from meadow.spec.numerics import saturate
from rtl_gen.blocks.shift_saturate import ShiftSaturate


@pytest.mark.parametrize(
    ("in_bits", "bits", "radices"),
    [
        (48, 16, (4, 4, 3)),
        (35, 16, (4, 3, 3)),
        (33, 16, (4, 4, 2)),
        (33, 9, (4, 4, 2)),
        (49, 25, (4, 4, 3)),
        (17, 16, (2, 3, 2)),
    ],
)
def test_shift_saturate(in_bits: int, bits: int, radices: tuple[int, int, int]) -> None:
    rng = random.Random(salted(in_bits))
    dut = ShiftSaturate(in_bits=in_bits, bits=bits, radices=radices)
    half = 1 << (in_bits - 1)
    cases = [(value, shift) for value in (-half, half - 1, -1, 0) for shift in range(dut.shifts)]
    edges = (127, -127, -128, -129, 128, 32767, -32768, 32768, -32769, 2**24, -(2**24) - 1)
    for shift in range(dut.shifts):
        for edge in edges:
            value = (edge << shift) + rng.randrange(1 << shift)
            if -half <= value < half:
                cases.append((value, shift))
        # One bit alone and all but one: each of them decides somewhere whether the value fits.
        for bit in range(in_bits - 1):
            cases += [(1 << bit, shift), (~(1 << bit), shift)]
    cases += [
        (
            rng.getrandbits(rng.randrange(1, in_bits)) - rng.choice([0, half]),
            rng.choice(range(dut.shifts)),
        )
        for _ in range(300)
    ]
    rng.shuffle(cases)
    narrow = [rng.randrange(2) for _ in cases]
    cases, narrow = cases + cases, narrow + [1 - bit for bit in narrow]
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
