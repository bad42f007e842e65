# SPDX-License-Identifier: Apache-2.0
"""Programs with wrong commands, and that nothing of a wrong command reaches a unit."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.control.sequencer_bench import (
    CONFIG,
    FETCHED,
    UNIT_PORT,
    Bench,
    ends_with,
    flipped,
    numbered,
    program_of,
    run,
    sealed,
)
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.commands import Command, Flag, Opcode, Outputs, Unit
from meadow.spec.ranges import check_command
from meadow.spec.registers import ErrorCode
from rtl_gen.control.sequencer import Sequencer


@pytest.mark.parametrize("opcode", [0, 10, 255])
def test_illegal_opcode_names_its_index(opcode: int) -> None:
    bench = run([numbered(Opcode.NORM, 0), sealed(bytes([opcode]) + bytes(59))])
    ends_with(bench, ErrorCode.ILLEGAL_COMMAND, 1)
    assert bench.log == [("execute", 0)]


@pytest.mark.parametrize("bit", [0, 9, 200, 511, *map(slow, (7, 33, 479, 480))])
def test_any_bit_of_a_command_is_checked(bit: int) -> None:
    """Opcode, wait, field, padding, CRC-32: nothing of the command runs, nor of those behind it."""
    bad = flipped(numbered(Opcode.LOAD, 2).encode(), bit)
    bench = run([numbered(Opcode.NORM, 0), numbered(Opcode.LOAD, 1), bad, numbered(Opcode.LOAD, 3)])
    ends_with(bench, ErrorCode.COMMAND_CHECK, 2)
    assert set(bench.log) == {("execute", 0), ("fetch", 1), ("execute", 1)}


def test_a_wrong_command_is_an_error_whatever_its_condition() -> None:
    skipped = numbered(Opcode.MATMUL, 1, condition=Outputs.LOGITS)
    values = {**skipped.values, "tiles": 0}
    wrong = Command(Opcode.MATMUL, values, condition=Outputs.LOGITS)
    ends_with(run([numbered(Opcode.NORM, 0), wrong]), ErrorCode.ILLEGAL_COMMAND, 1)
    ends_with(
        run([numbered(Opcode.NORM, 0), flipped(skipped.encode(), 100)]), ErrorCode.COMMAND_CHECK, 1
    )


def test_nothing_behind_the_end_matters() -> None:
    bad = bytes(range(64))
    assert run([numbered(Opcode.NORM, 0), Command(Opcode.END), bad, bad]).done
    assert run([numbered(Opcode.NORM, 0), bad], length=1).done


@pytest.mark.parametrize("limit", [0, 20])
def test_stuck(limit: int) -> None:
    """After a soft reset the ports wait for the memory: stuck after `limit` quiet cycles, until
    they are idle.
    """
    dut = Sequencer(config=CONFIG)
    stuck = []

    async def bench(ctx) -> None:
        ctx.set(dut.watchdog, limit)
        ctx.set(dut.program_length, 4)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().repeat(5)
        ctx.set(dut.stop, 1)
        await ctx.tick()
        ctx.set(dut.stop, 0)
        for cycle in range(100):
            assert ctx.get(dut.flush) and ctx.get(dut.unit_reset) and ctx.get(dut.busy)
            ctx.set(dut.progress, cycle == 15)
            stuck.append(ctx.get(dut.stuck))
            await ctx.tick()
        ctx.set(dut.ports_idle, 1)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.busy) and not ctx.get(dut.stuck)

    simulate(dut, bench)
    first = 15 + limit + 2
    assert stuck == ([0] * 100 if limit == 0 else [0] * first + [1] * (100 - first))


def _random_program(chance: random.Random) -> tuple[list[bytes], int | None]:
    """Commands of which some have random fields or wrong bits; the first of those that runs into an
    error.
    """
    program: list[bytes] = []
    wrong = None
    for index in range(chance.randint(3, 14)):
        opcode = chance.choice([*UNIT_PORT, Opcode.FENCE, Opcode.LOAD])
        kwargs: dict[str, Any] = {
            "wait": Unit(chance.choice([0, 15, chance.randrange(16)])),
            "condition": Outputs(chance.choice([0, 0, 1, 2])),
            "flags": Flag(chance.randrange(2)) if opcode in FETCHED else Flag(0),
        }
        data = numbered(opcode, index, **kwargs).encode()
        kind = chance.random()
        if kind < 0.1:
            data = flipped(data, chance.randrange(512))
        elif kind < 0.2:
            data = sealed(flipped(data, chance.randrange(160))[:60])
        elif kind < 0.25:
            data = Command(Opcode.END).encode()
        program.append(data)
        if wrong is None and not _ends(program):
            try:
                check_command(CONFIG, Command.decode(data))
            except ValueError:
                wrong = index
    return program, wrong


def _ends(program: list[bytes]) -> bool:
    return Command(Opcode.END).encode() in program


@pytest.mark.parametrize("seed", [*range(8), *map(slow, range(8, 25))])
def test_random_programs_end(seed: int) -> None:
    """With the error of the first wrong command, or done; and no unit sees a wrong command or one
    behind it.
    """
    chance = random.Random(salted(seed))
    program, wrong = _random_program(chance)
    bench = Bench(b"".join(program), len(program), Outputs.ARGMAX, seed, watchdog=2000)
    bench.run()
    assert bench.ended_at is not None, f"seed {seed}"
    if wrong is None:
        assert bench.done and not bench.errors, f"seed {seed}"
        return
    try:
        Command.decode(program[wrong])
        code = ErrorCode.ILLEGAL_COMMAND
    except ValueError as error:
        unsealed = "CRC-32" in str(error)
        code = ErrorCode.COMMAND_CHECK if unsealed else ErrorCode.ILLEGAL_COMMAND
    ends_with(bench, code, wrong)
    assert all(index < wrong for _, index in bench.log), f"seed {seed}"


def test_it_runs_again_after_an_error() -> None:
    """Error, then a program of its own: nothing of the first one is left."""
    dut = Sequencer(config=CONFIG)
    good = program_of([numbered(Opcode.NORM, 0), Command(Opcode.END)])
    bad = flipped(good[:64], 300) + good[64:]
    seen = []

    async def bench(ctx) -> None:
        ctx.set(dut.ports_idle, 1)
        ctx.set(dut.o_unit.vector.ready, 1)
        ctx.set(dut.o_read.ready, 1)
        ctx.set(dut.program_length, 2)
        for program in (bad, good, bad, good):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            beats = [int.from_bytes(program[k : k + 16], "little") for k in range(0, 128, 16)]
            asked = False
            while ctx.get(dut.busy):
                asked = asked or bool(ctx.get(dut.o_read.valid))
                send = asked and bool(beats)
                ctx.set(dut.i_beat.valid, send)
                if send:
                    ctx.set(dut.i_beat.payload, beats.pop(0))
                for name, signal in (("done", dut.done), ("vector", dut.o_unit.vector.valid)):
                    if ctx.get(signal):
                        seen.append(name)
                if ctx.get(dut.o_error.valid):
                    seen.append(ctx.get(dut.o_error.payload.code))
                await ctx.tick()
            ctx.set(dut.i_beat.valid, 0)

    simulate(dut, bench)
    assert seen == [int(ErrorCode.COMMAND_CHECK), "vector", "done"] * 2
