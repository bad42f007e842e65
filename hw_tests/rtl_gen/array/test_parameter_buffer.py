# SPDX-License-Identifier: Apache-2.0
"""Parameter buffer: headers written beat by beat come back R channels at a time."""

from __future__ import annotations

import dataclasses
import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.array.parameter_buffer import ParameterBuffer


@pytest.mark.parametrize(
    "config",
    [
        CONFIGURATIONS["tiny"],
        CONFIGURATIONS["small"],
        dataclasses.replace(CONFIGURATIONS["tiny"], width=32, rows=8, lanes=1, ports=4),
        dataclasses.replace(CONFIGURATIONS["tiny"], width=16, rows=4, lanes=1, ports=4),
    ],
    ids=lambda c: f"w{c.width}r{c.rows}p{c.ports}",
)
def test_channels(config: AcceleratorConfig) -> None:
    seed = 3
    rng = random.Random(salted(seed))
    dut = ParameterBuffer(config=config)
    model = [
        [
            (rng.randint(-(2**31), 2**31 - 1), rng.randint(0, 65535), rng.randint(1, 47))
            for _ in range(config.width)
        ]
        for _ in range(2)
    ]
    seen = []
    order = [(slot, position) for slot in range(2) for position in range(config.tile_cycles)]
    rng.shuffle(order)

    async def bench(ctx) -> None:
        for slot in range(2):
            for beat in range(config.port_rows // 2):
                for port in range(config.ports):
                    first = port * config.port_rows + 2 * beat
                    packed = 0
                    for i, (bias, multiplier, shift) in enumerate(model[slot][first : first + 2]):
                        channel = (bias & 0xFFFFFFFF) | multiplier << 32 | shift << 48
                        packed |= channel << 64 * i
                    bundle = dut.i_write[port]
                    ctx.set(bundle.valid, 1)
                    ctx.set(bundle.payload, {"slot": slot, "beat": beat, "data": packed})
                await ctx.tick()
        for port in range(config.ports):
            ctx.set(dut.i_write[port].valid, 0)
        for cycle in range(len(order) + ParameterBuffer.LATENCY):
            if cycle >= ParameterBuffer.LATENCY:
                seen.append(
                    [
                        (ctx.get(p.bias), ctx.get(p.multiplier), ctx.get(p.shift))
                        for p in dut.i_read.parameters
                    ]
                )
            if cycle < len(order):
                ctx.set(
                    dut.i_read.place, dict(zip(("slot", "position"), order[cycle], strict=True))
                )
            await ctx.tick()

    simulate(dut, bench)
    r = config.rows
    assert seen == [model[slot][position * r : position * r + r] for slot, position in order], seed
