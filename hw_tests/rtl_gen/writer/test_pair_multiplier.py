# SPDX-License-Identifier: Apache-2.0
"""Rotation and gate product of a pair against numerics.rotate and numerics.gate, at the declared
latency.
"""

from __future__ import annotations

import random

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.numerics import gate, rotate
from rtl_gen.writer.pair_multiplier import PairMultiplier

_LIMITS = (-32768, 32767, -32767, 0, -1, 1)


def _run(cases: list[tuple[int, int, int, int, int, int]]) -> list[tuple[int, int]]:
    """(x, y, a, b, c, shift), one per cycle."""
    dut = PairMultiplier()
    outputs = []

    async def process(ctx):
        def case(cycle: int) -> tuple[int, ...]:
            return cases[max(0, min(cycle, len(cases) - 1))]

        for cycle in range(len(cases) + dut.LATENCY):
            for port, value in zip((dut.x, dut.y, dut.a, dut.b, dut.c), case(cycle), strict=False):
                ctx.set(port, value)
            ctx.set(dut.half, 1 << (case(cycle - dut.HALF_DELAY)[-1] - 1))
            ctx.set(dut.shift, case(cycle - dut.SHIFT_DELAY)[-1])
            if cycle >= dut.LATENCY:
                outputs.append((ctx.get(dut.o_x), ctx.get(dut.o_y)))
            await ctx.tick()

    simulate(dut, process)
    return outputs


def _value(rng: random.Random) -> int:
    return rng.choice([*_LIMITS, *(rng.randrange(-32768, 32768) for _ in range(4))])


def test_rotations() -> None:
    rng = random.Random(salted(1))
    cases = []
    # The largest sums there are, at every shift: they need all 33 bits.
    corners = [
        (x, y, c, s) for x in (-32768, 32767) for y in (x, -x - 1) for c in (x, y) for s in (x, y)
    ]
    for x, y, cosine, sine in corners:
        cases += [(x, y, cosine, cosine, sine, shift) for shift in range(1, 32)]
    for _ in range(1000):
        x, y, cosine, sine = (_value(rng) for _ in range(4))
        cases.append((x, y, cosine, cosine, sine, rng.randrange(1, 32)))
    expected = [rotate(x, y, cosine, sine, shift) for x, y, cosine, _, sine, shift in cases]
    assert _run(cases) == expected
    assert len({value for pair in expected for value in pair}) > 100


def test_gate_products() -> None:
    rng = random.Random(salted(2))
    cases = []
    for _ in range(1500):
        a, b = (rng.choice([-128, -127, 127, 0, rng.randrange(-127, 128)]) for _ in range(2))
        cases.append((_value(rng), _value(rng), a, b, 0, rng.randrange(1, 32)))
    expected = [(gate(a, x, shift), gate(b, y, shift)) for x, y, a, b, _, shift in cases]
    assert _run(cases) == expected
