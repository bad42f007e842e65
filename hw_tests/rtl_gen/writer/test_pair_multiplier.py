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


def _run(cases: list[tuple[int, int, int, int, int, int, int]]) -> list[tuple[int, int]]:
    """(x, y, a, b, c, shift, narrow), one per cycle."""
    dut = PairMultiplier()
    outputs = []

    async def process(ctx):
        def case(cycle: int) -> tuple[int, ...]:
            return cases[max(0, min(cycle, len(cases) - 1))]

        for cycle in range(len(cases) + dut.LATENCY):
            for port, value in zip((dut.x, dut.y, dut.a, dut.b, dut.c), case(cycle), strict=False):
                ctx.set(port, value)
            ctx.set(dut.half, 1 << (case(cycle - dut.HALF_DELAY)[5] - 1))
            ctx.set(dut.shift, case(cycle - dut.SHIFT_DELAY)[5])
            ctx.set(dut.narrow, case(cycle - dut.NARROW_DELAY)[6])
            if cycle >= dut.LATENCY:
                outputs.append((ctx.get(dut.o_x), ctx.get(dut.o_y)))
            await ctx.tick()

    simulate(dut, process)
    return outputs


def _value(rng: random.Random) -> int:
    return rng.choice([*_LIMITS, *(rng.randrange(-32768, 32768) for _ in range(4))])


def _rotations(rng: random.Random) -> list[tuple[int, int, int, int, int, int, int]]:
    cases = []
    # The largest sums there are, at every shift: they need all 33 bits.
    corners = [
        (x, y, c, s) for x in (-32768, 32767) for y in (x, -x - 1) for c in (x, y) for s in (x, y)
    ]
    for x, y, cosine, sine in corners:
        cases += [(x, y, cosine, cosine, sine, shift, 1) for shift in range(1, 32)]
    for _ in range(1000):
        x, y, cosine, sine = (_value(rng) for _ in range(4))
        cases.append((x, y, cosine, cosine, sine, rng.randrange(1, 32), 1))
    return cases


def _gates(rng: random.Random) -> list[tuple[int, int, int, int, int, int, int]]:
    corners = [(x, a) for x in (-32768, 32767, -1) for a in (-32768, 32767, 1)]
    cases = [(x, a, a, x, 0, shift, 0) for x, a in corners for shift in range(1, 32)]
    for _ in range(1000):
        x, y, a, b = (_value(rng) for _ in range(4))
        cases.append((x, y, a, b, 0, rng.randrange(1, 32), 0))
    return cases


def _expected(case: tuple[int, int, int, int, int, int, int]) -> tuple[int, int]:
    x, y, a, b, c, shift, narrow = case
    return rotate(x, y, a, c, shift) if narrow else (gate(a, x, shift), gate(b, y, shift))


def test_rotations() -> None:
    cases = _rotations(random.Random(salted(1)))
    outputs = _run(cases)
    assert outputs == [_expected(case) for case in cases]
    assert len({value for pair in outputs for value in pair}) > 100


def test_gate_products() -> None:
    cases = _gates(random.Random(salted(2)))
    outputs = _run(cases)
    assert outputs == [_expected(case) for case in cases]
    assert {-32768, 32767} < {value for pair in outputs for value in pair}
    # The only product of 31 bits, at each shift: it saturates until 2^30 >> 16 fits.
    assert [outputs[shift - 1][0] for shift in (1, 15, 16, 31)] == [32767, 32767, 16384, 1]


def test_rotations_and_gate_products_by_turns() -> None:
    rng = random.Random(salted(3))
    cases = _rotations(rng) + _gates(rng)
    rng.shuffle(cases)
    assert _run(cases) == [_expected(case) for case in cases]
