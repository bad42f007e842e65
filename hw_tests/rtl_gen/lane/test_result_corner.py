# SPDX-License-Identifier: Apache-2.0
"""The result corner: narrow and wide words, unwritten bytes, suppressed lanes."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import named_config
from rtl_gen.lane.result_corner import ResultCorner

_SEED = 18


@pytest.mark.parametrize(("width", "rows"), [(16, 2), (16, 8), (32, 4)])
def test_words_back_to_back_and_with_holes(width: int, rows: int) -> None:
    config = dataclasses.replace(named_config("tiny"), width=width, rows=rows, lanes=1)
    dut = ResultCorner(config=config)
    generator = random.Random(salted(_SEED))
    half = config.tile_cycles // 2
    wanted = 0

    async def bench(ctx: Any) -> None:
        nonlocal wanted
        for _ in range(80):
            wide = generator.randint(0, 1)
            start = generator.choice([0, half]) if wide else 0
            positions = [start + index for index in range(half if wide else config.tile_cycles)]
            if generator.random() < 0.4:
                count = generator.randint(1, len(positions))
                positions = sorted(generator.sample(positions, count))
            keep = generator.random() < 0.8
            word = bytearray(width)
            for number, position in enumerate(positions):
                values = [generator.randint(-32768, 32767) for _ in range(rows)]
                emit = number == len(positions) - 1
                for row, value in enumerate(values):
                    ctx.set(dut.i_values[row], value)
                    if wide:
                        at = 2 * ((position * rows + row) % (width // 2))
                        word[at : at + 2] = (value & 0xFFFF).to_bytes(2, "little")
                    else:
                        word[position * rows + row] = value & 0xFF
                ports = (dut.i_valid, dut.i_wide, dut.i_position, dut.i_emit, dut.i_keep)
                for port, value in zip(ports, (1, wide, position, emit, keep), strict=True):
                    ctx.set(port, value)
                await ctx.tick().repeat(dut.LATENCY)
                assert ctx.get(dut.o_result.valid) == (emit and keep), f"seed {_SEED}"
            if keep:
                wanted += 1
                found = ctx.get(dut.o_result.payload).to_bytes(width, "little")
                assert found == bytes(word), f"seed {_SEED}"
            if generator.random() < 0.3:
                ctx.set(dut.i_valid, 0)
                await ctx.tick()
                assert not ctx.get(dut.o_result.valid)

    simulate(dut, bench)
    assert wanted > 40
