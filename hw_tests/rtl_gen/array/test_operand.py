# SPDX-License-Identifier: Apache-2.0
"""The operand registers: words and probabilities into the shadow, swaps at any time."""

from __future__ import annotations

import random
from typing import Any

from amaranth.sim import Simulator

from meadow.spec.config import named_config
from rtl_gen.array.operand import Operand

_SEED = 17


def test_follows_a_register_model() -> None:
    config = named_config("tiny")
    dut = Operand(config=config)
    generator = random.Random(_SEED)
    width, rows = config.width, config.rows

    async def bench(ctx: Any) -> None:
        shadow, active = [0] * width, [0] * width
        for _ in range(300):
            word, fetch, swap = (generator.random() < chance for chance in (0.2, 0.6, 0.2))
            index = generator.randrange(config.step_cycles)
            elements = [generator.randint(-128, 127) for _ in range(width)]
            probabilities = [generator.choice([0, 4095, 2048, 77]) for _ in range(rows)]
            data = int.from_bytes(bytes(value & 0xFF for value in elements), "little")
            ctx.set(dut.i_word_hit, word)
            ctx.set(dut.i_word, data)
            ctx.set(dut.i_fetch, fetch)
            ctx.set(dut.i_index, index)
            ctx.set(dut.i_swap, swap)
            for row in range(rows):
                ctx.set(dut.i_probabilities[row], probabilities[row])
            await ctx.tick()
            active = list(shadow) if swap else active
            if word:
                shadow = elements
            elif fetch:
                shadow[index * rows : (index + 1) * rows] = probabilities
            assert [ctx.get(dut.o_active[e]) for e in range(width)] == active, f"seed {_SEED}"

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
