# SPDX-License-Identifier: Apache-2.0
"""The runner of a unit's commands: when it starts, what it holds, and when it takes the next."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream

from hw_tests.seeds import salted
from hw_tests.streams import Source, Stalls, simulate
from meadow.spec.commands import Opcode
from rtl_gen.blocks.command_runner import CommandRunner
from rtl_gen.interfaces.command import COMMAND_BITS, command_layout


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("prepare_cycles", [0, 1, 3])
def test_commands_run_one_after_the_other(prepare_cycles: int, stall: float) -> None:
    """Each held from its first cycle to its last, started once, and busy all the time."""
    rng = random.Random(salted(f"{prepare_cycles} {stall}"))
    m = Module()
    commands_in = stream.Signature(COMMAND_BITS).create(path=("commands",))
    dut = CommandRunner(m, commands_in, opcode=Opcode.LOAD, prepare_cycles=prepare_cycles)
    layout = command_layout(Opcode.LOAD)
    commands = [rng.getrandbits(COMMAND_BITS) for _ in range(12)]
    held = [command & (1 << layout.size) - 1 for command in commands]
    source = Source(commands_in, commands, Stalls(stall, rng))
    started: list[int] = []
    prepared: list[int] = []
    finished: list[int] = []

    async def bench(ctx) -> None:
        left: int | None = None
        for cycle in range(600):
            source.drive(ctx)
            # A unit that is not started seems to be done.
            ctx.set(dut.finished, not left)
            number = len(source.cycles)  # commands taken before this cycle
            runs = len(finished) < number
            assert ctx.get(commands_in.ready) == (not runs)
            assert ctx.get(dut.busy) == (runs or ctx.get(commands_in.valid))
            if runs:
                assert ctx.get(dut.command.as_value()) == held[number - 1]
            if ctx.get(dut.prepare):
                prepared.append(cycle)
            if left is not None:
                left = left - 1 if left else None
                if left is None:
                    finished.append(cycle)
            if ctx.get(dut.start):
                started.append(cycle)
                left = rng.randrange(4)
            source.settle(ctx)
            await ctx.tick()
            if len(finished) == len(commands):
                break
        assert not ctx.get(dut.busy)

    simulate(m, bench)
    assert prepared == [cycle + CommandRunner.LATENCY for cycle in source.cycles]
    assert started == [cycle + prepare_cycles for cycle in prepared]


def test_what_a_unit_derives_from_the_offered_command_is_in_step_with_the_held_one() -> None:
    rng = random.Random(salted(1))
    m = Module()
    commands_in = stream.Signature(COMMAND_BITS).create(path=("commands",))
    dut = CommandRunner(m, commands_in, opcode=Opcode.LOAD, prepare_cycles=2)
    doubled = Signal(21)
    with m.If(dut.idle):
        m.d.sync += doubled.eq(dut.offered.rows << 1)
    source = Source(
        commands_in, [rng.getrandbits(COMMAND_BITS) for _ in range(8)], Stalls(0.5, rng)
    )
    starts = 0

    async def bench(ctx) -> None:
        nonlocal starts
        while source.payloads or ctx.get(dut.busy):
            source.drive(ctx)
            ctx.set(dut.finished, rng.randrange(2))
            if not ctx.get(dut.idle):
                assert ctx.get(doubled) == 2 * ctx.get(dut.command.rows)
            starts += ctx.get(dut.start)
            source.settle(ctx)
            await ctx.tick()
            source.drive(ctx)

    simulate(m, bench)
    assert starts == 8
