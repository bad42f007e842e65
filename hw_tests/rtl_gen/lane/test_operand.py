# SPDX-License-Identifier: Apache-2.0
"""The operand registers: words, exponents and probabilities into the shadow, swaps at any time."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import named_config
from rtl_gen.lane.operand import Operand

_SEED = 17


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_follows_a_register_model(bits: int) -> None:
    """Probabilities are kept less half the range of an operand element."""
    config = replace(named_config("tiny"), probability_bits=bits)
    offset = 1 << (max(8, bits) - 1)
    dut = Operand(config=config)
    generator = random.Random(salted(_SEED))
    width, rows, half = config.width, config.rows, config.width // 2

    async def bench(ctx: Any) -> None:
        shadow, active = [0] * width, [0] * width
        exponent = active_exponent = probability = active_probability = 0
        seen = set()
        for _ in range(400):
            kind = generator.choice([None, None, None, None, "int8", "low", "high"])
            fetch, swap = (generator.random() < chance for chance in (0.6, 0.2))
            index = generator.randrange(config.tile_cycles)
            edges = [0, (1 << bits) - 1, 1 << (bits - 1), 7]
            probabilities = [generator.choice(edges) for _ in range(rows)]
            if kind == "int8":
                elements = np.array([generator.randint(-128, 127) for _ in range(width)], "<i1")
            else:
                # Bits above those of a probability are not taken.
                elements = np.array([generator.randrange(1 << 16) for _ in range(half)], "<u2")
            ctx.set(dut.i_word, int.from_bytes(elements.tobytes(), "little"))
            word_exponent = generator.choice([0, 7, generator.randrange(8)])
            ctx.set(dut.i_exponent, word_exponent)
            for name in ("int8", "low", "high"):
                ctx.set(getattr(dut, f"i_{name}"), kind == name)
            ctx.set(dut.i_fetch, fetch)
            ctx.set(dut.i_index, index)
            for row in range(rows):
                ctx.set(dut.i_probabilities[row], probabilities[row])
            ctx.set(dut.i_swap, swap)
            await ctx.tick()
            if swap:
                active, active_exponent = list(shadow), exponent
                active_probability = probability
            if kind == "int8":
                exponent, probability = word_exponent, 0
            elif kind is not None or fetch:
                exponent, probability = 0, 1
            if fetch:
                shadow[index * rows : (index + 1) * rows] = [p - offset for p in probabilities]
            if kind is not None:
                start = half if kind == "high" else 0
                own = elements.astype(int) % (1 << bits) - offset if kind != "int8" else elements
                shadow[start : start + len(elements)] = own.tolist()
            assert [ctx.get(dut.o_active[e]) for e in range(width)] == active, f"seed {_SEED}"
            assert ctx.get(dut.o_exponent) == active_exponent, f"seed {_SEED}"
            assert ctx.get(dut.o_probabilities) == active_probability, f"seed {_SEED}"
            seen.add(active_exponent)
        assert {0, 7} <= seen and len(seen) > 4

    simulate(dut, bench)
