# SPDX-License-Identifier: Apache-2.0
"""Faults of two sources against a model: none of the first is late, none of the second is lost
that comes alone or first.
"""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.dma.fault_merge import merge_faults
from rtl_gen.interfaces.error import fault_layout


def fault(rng: random.Random) -> dict[str, int]:
    return {
        "code": rng.randrange(1, 16),
        "address": rng.getrandbits(40),
        "command": rng.getrandbits(24),
        "of_commands": rng.randrange(2),
    }


@pytest.mark.parametrize("share", [0.2, 0.4, 0.8])
def test_faults_of_two_sources(share: float) -> None:
    rng = random.Random(salted(share))
    faults = stream.Signature(fault_layout(CONFIGURATIONS["zcu102"]), always_ready=True)
    m, names = Module(), ("first", "second", "o")
    one, other, o = (faults.create(path=(name,)) for name in names)
    waits = merge_faults(m, one, other, o)
    waited = 0

    async def bench(ctx) -> None:
        nonlocal waited
        waiting = None
        for _ in range(1000):
            offered = []
            for port in (one, other):
                offered.append(fault(rng) if rng.random() < share else None)
                ctx.set(port.valid, offered[-1] is not None)
                ctx.set(port.payload, offered[-1] or dict.fromkeys(fault(rng), 0))
            first, second = offered
            assert ctx.get(waits) == (waiting is not None)
            # The first source, then the fault that waits, then the second source.
            expected = first or waiting or second
            assert ctx.get(o.valid) == (expected is not None)
            if expected is not None:
                seen = ctx.get(o.payload)
                assert {name: seen[name] for name in expected} == expected
            waited += first is None and waiting is not None
            if first is not None:
                waiting = waiting or second
            elif waiting is not None:
                waiting = second
            await ctx.tick()

    simulate(m, bench)
    assert waited > 10
