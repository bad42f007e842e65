# SPDX-License-Identifier: Apache-2.0
"""Tile buffer: every read mode and write position against an array of bytes."""

from __future__ import annotations

import dataclasses
import random

import pytest

from hw_tests.marks import slow
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.array.tile_buffer import TileBuffer


def _config(width: int, rows: int, ports: int, elements: int = 16) -> AcceleratorConfig:
    return dataclasses.replace(
        CONFIGURATIONS["tiny"],
        width=width,
        rows=rows,
        ports=ports,
        lanes=1,
        decoder_elements=elements,
        max_head_dim=64,
    )


@pytest.mark.parametrize(
    "config",
    [
        CONFIGURATIONS["tiny"],
        CONFIGURATIONS["small"],
        _config(16, 2, 4),
        _config(32, 4, 2, 32),
        _config(32, 8, 4),
        slow(_config(64, 2, 2, 32)),
        slow(_config(64, 16, 1, 64)),
    ],
    ids=lambda c: f"w{c.width}r{c.rows}p{c.ports}e{c.decoder_elements}",
)
def test_rows_and_columns(config: AcceleratorConfig) -> None:
    seed = 5
    rng = random.Random(salted(seed))
    width, parts = config.width, config.decoder_elements // 16
    dut = TileBuffer(config=config)
    model = [[[0] * width for _ in range(width)] for _ in range(2)]
    writes: list[list[tuple[int, int, int, int]]] = [[] for _ in range(config.ports)]
    for port, queue in enumerate(writes):
        for slot in range(2):
            for row in range(config.port_rows):
                column = 0
                while column < config.word_beats:
                    # A mask may leave holes and stick out of the last column.
                    count = rng.randint(1, min(parts, config.word_beats - column))
                    queue.append((slot, row, column, (1 << count) - 1))
                    column += count
        rng.shuffle(queue)
        assert len(queue) >= config.port_rows, f"port {port}"

    expected: list[tuple[int, list[list[int]]]] = []
    seen: list[list[list[int]]] = []

    async def write(ctx) -> None:
        rounds = max(len(queue) for queue in writes)
        for index in range(rounds):
            for port, queue in enumerate(writes):
                bundle = dut.i_write[port]
                valid = index < len(queue)
                ctx.set(bundle.valid, valid)
                if not valid:
                    continue
                slot, row, column, mask = queue[index]
                data = [rng.randint(-128, 127) for _ in range(config.decoder_elements)]
                for offset, value in enumerate(data):
                    if mask >> (offset // 16) & 1:
                        model[slot][port * config.port_rows + row][16 * column + offset] = value
                packed = sum((value & 255) << 8 * i for i, value in enumerate(data))
                ctx.set(
                    bundle.payload,
                    {
                        "slot": slot,
                        "row": row,
                        "column_beats": column,
                        "mask": mask,
                        "data": packed,
                    },
                )
            await ctx.tick()
        for port in range(config.ports):
            ctx.set(dut.i_write[port].valid, 0)
        reads = [
            (slot, mode, index)
            for slot in range(2)
            for mode in range(2)
            for index in range(config.tile_cycles)
        ]
        rng.shuffle(reads)
        r = config.rows
        for cycle in range(len(reads) + TileBuffer.LATENCY):
            if cycle >= TileBuffer.LATENCY:
                seen.append([[ctx.get(v) for v in row] for row in dut.o_rows])
            if cycle < len(reads):
                slot, mode, index = reads[cycle]
                ctx.set(dut.i_read, {"slot": slot, "by_column": mode, "index": index})
                tile = model[slot]
                expected.append(
                    (
                        cycle,
                        [[tile[c][index * r + i] for c in range(width)] for i in range(r)]
                        if mode
                        else tile[index * r : index * r + r],
                    )
                )
            await ctx.tick()

    simulate(dut, write)
    assert len(seen) == len(expected)
    for (cycle, want), got in zip(expected, seen, strict=True):
        assert got == want, f"read {cycle}, seed {seed}"


def test_too_many_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="2 <= rows <= 16 is broken by 32"):
        _ = TileBuffer(config=_config(64, 32, 1))
