# SPDX-License-Identifier: Apache-2.0
"""Waits for a tile are blamed on the decoders exactly while no port lacks data to decode."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import named_config
from rtl_gen.control.tile_wait import TileWait


@pytest.mark.parametrize("ports", [1, 2, 4])
def test_blame_follows_the_definition(ports: int) -> None:
    config = dataclasses.replace(named_config("tiny"), width=32, ports=ports)
    dut = TileWait(config=config)
    chance = random.Random(salted(ports))
    blamed = [0, 0]

    async def bench(ctx: Any) -> None:
        tiles = [0] * ports
        before = False
        for cycle in range(3000):
            stall = chance.random() < 0.7
            ctx.set(dut.i_stall, stall)
            assert ctx.get(dut.o_stall) == (stall and before), f"cycle {cycle}"
            blamed[stall and before] += 1
            free = all(tiles) and chance.random() < 0.3
            ctx.set(dut.i_tile_free, free)
            supplied = []
            for port in range(ports):
                offered = chance.random() < 0.6
                done = tiles[port] < 2 and chance.random() < 0.2
                ctx.set(dut.i_offered[port], offered)
                ctx.set(dut.i_tile_done[port], done)
                supplied.append(offered or tiles[port] > 0)
                tiles[port] += done - free
            before = all(supplied)
            await ctx.tick()

    simulate(dut, bench)
    assert min(blamed) > 300
