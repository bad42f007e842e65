# SPDX-License-Identifier: Apache-2.0
"""Of the faults of a cycle the one that is handed on, against a list of them by precedence."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import ErrorCode
from rtl_gen.control.fault_choice import FaultChoice


@pytest.mark.parametrize("name", ["tiny", "zcu102"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_fault_of_the_lowest_port_is_chosen(name: str, share: float) -> None:
    """Its own before its decoder's; that of a read of commands, on port 0, only if it is alone."""
    rng = random.Random(salted(f"{name} {share}"))
    config = CONFIGURATIONS[name]
    dut = FaultChoice(config=config)
    chosen: set[tuple[bool, int]] = set()

    def fault(port: int) -> dict[str, int]:
        return {
            "code": rng.randrange(1, 16),
            "address": rng.getrandbits(config.address_bits),
            "command": rng.getrandbits(24),
            "of_commands": port == 0 and rng.randrange(2),
        }

    async def bench(ctx) -> None:
        for _ in range(300):
            ranked = []
            for port in range(config.ports):
                own = fault(port) if rng.random() < share else None
                wrong = rng.getrandbits(24) if rng.random() < share else None
                ctx.set(dut.i_port[port].valid, own is not None)
                ctx.set(dut.i_port[port].payload, own or dict.fromkeys(fault(port), 0))
                ctx.set(dut.i_decoder[port].valid, wrong is not None)
                ctx.set(dut.i_decoder[port].payload, wrong or 0)
                if own is not None:
                    ranked.append((bool(own["of_commands"]), port, own))
                if wrong is not None:
                    stream = {"code": int(ErrorCode.STREAM), "command": wrong}
                    ranked.append((False, port, {"address": 0, "of_commands": 0, **stream}))
            ranked.sort(key=lambda entry: entry[:2])  # of one port the order stays
            assert ctx.get(dut.o.valid) == bool(ranked)
            if ranked:
                of_commands, port, expected = ranked[0]
                seen = ctx.get(dut.o.payload)
                assert seen["port"] == port
                assert {key: seen["fault"][key] for key in expected} == expected
                chosen.add((of_commands, port))
            await ctx.delay(1e-9)

    simulate(dut, bench)
    assert chosen >= {(True, 0), *((False, port) for port in range(config.ports))}
