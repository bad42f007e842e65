# SPDX-License-Identifier: Apache-2.0
"""Which error a program ends with, and that nothing of a wrong command reaches a unit."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw_tests.marks import slow
from hw_tests.rtl_gen.control.sequencer_bench import (
    CONFIG,
    FETCHED,
    UNIT_PORT,
    Bench,
    numbered,
    program_of,
)
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Flag, Opcode, Outputs, Unit
from meadow.spec.ranges import check_command
from meadow.spec.registers import ErrorCode
from rtl_gen.control.sequencer import Sequencer

_NONE = Unit(0)


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(64, "little")


def run(program: list[Command | bytes], seed: int = 1, **options: Any) -> Bench:
    data = b"".join(part if isinstance(part, bytes) else part.encode() for part in program)
    bench = Bench(data, options.pop("length", len(program)), Outputs.ARGMAX, seed, **options)
    bench.run()
    assert bench.ended_at is not None, f"seed {seed}"
    return bench


def ends_with(bench: Bench, code: ErrorCode, command: int) -> None:
    seen = [(error["code"], error["command"]) for error in bench.errors]
    assert not bench.done and seen == [(code, command)], f"seed {bench.seed}"


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


def fault(code: ErrorCode, command: int, at: int, **fields: int):
    """An event: a port or decoder reports a fault of a command."""

    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        if cycle == at:
            values = {"valid": 1, "code": int(code), "command": command, "address": 0, "port": 0}
            ctx.set(dut.i_error, values | fields)

    return events


@pytest.mark.parametrize("seed", [0, 1, *map(slow, range(2, 6))])
def test_a_wrong_command_waits_for_errors_of_earlier_ones(seed: int) -> None:
    """The array hangs in command 1 and reports its error at last."""
    program = [
        numbered(Opcode.NORM, 0),
        numbered(Opcode.MATMUL, 1, wait=_NONE),
        flipped(numbered(Opcode.NORM, 2, wait=_NONE).encode(), 70),
    ]
    events = fault(ErrorCode.STREAM, 1, 600)
    bench = run(program, seed, hung={"array"}, events=events)
    ends_with(bench, ErrorCode.STREAM, 1)


def test_fault_of_a_port() -> None:
    """Everything about it is reported; the program's commands before and after it do not matter."""
    program = [numbered(Opcode.MATMUL, index, wait=_NONE) for index in range(20)]
    events = fault(ErrorCode.READ_RESPONSE, 1, 90, address=0x12_3456_7890, port=1)
    bench = run(program, events=events)
    ends_with(bench, ErrorCode.READ_RESPONSE, 1)
    assert bench.errors[0]["address"] == 0x12_3456_7890 and bench.errors[0]["port"] == 1


def test_error_latency() -> None:
    """A port may offer what follows a fault three cycles later."""
    seen = {}

    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        fault(ErrorCode.WINDOW, 0, 100)(cycle, ctx, dut, bench)
        for name, signal in (("error", dut.o_error.valid), ("flush", dut.flush)):
            if ctx.get(signal):
                seen.setdefault(name, cycle - 100)

    run([numbered(Opcode.MATMUL, 0)], hung={"array"}, events=events)
    assert seen == {"error": Sequencer.error_latency, "flush": Sequencer.error_latency + 1}
    assert seen["flush"] <= 3


@pytest.mark.parametrize("code", [ErrorCode.WINDOW, ErrorCode.READ_RESPONSE])
@pytest.mark.parametrize("end", [None, 2, 4])
def test_a_failed_read_of_commands_counts_when_it_is_their_turn(
    code: ErrorCode, end: int | None
) -> None:
    """Of the read of commands 4..7, which comes while 0..3 run; with an END before it is no
    error.
    """
    program: list[Command | bytes] = [numbered(Opcode.NORM, index) for index in range(8)]
    if end is not None:
        program[end] = Command(Opcode.END)
    state = {"asked": 0}

    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        read = dut.o_read
        if ctx.get(read.valid) and ctx.get(read.payload.command) == 4 and not state["asked"]:
            state["asked"] = cycle
        if state["asked"] and cycle == state["asked"] + 1:
            values = {"valid": 1, "code": int(code), "command": 4, "address": 64}
            values |= {"port": 0, "of_commands": 1}
            ctx.set(dut.i_error, values)

    bench = run(program, events=events)
    if end == 2:
        assert bench.done and not bench.errors
        assert bench.log == [("execute", 0), ("execute", 1)]
    else:
        ends_with(bench, code, 4)
        assert bench.errors[0]["address"] == 64
        assert bench.log == [("execute", index) for index in range(4)]


@pytest.mark.parametrize(("bits", "command"), [(1, 77), (2, 2), (4, 0), (8, 3), (10, 2), (15, 77)])
def test_a_word_outside_is_of_the_last_command_of_its_unit_or_of_the_one_that_the_array_names(
    bits: int, command: int
) -> None:
    program = [
        numbered(Opcode.LOAD, 0, wait=_NONE),
        numbered(Opcode.MATMUL, 1, wait=_NONE),
        numbered(Opcode.SOFTMAX, 2, wait=_NONE),
        numbered(Opcode.STORE, 3, wait=_NONE),
    ]

    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        if cycle == 500:
            ctx.set(dut.i_outside, bits)
            ctx.set(dut.i_outside_command, 77)

    bench = run(program, hung={"array"}, events=events)
    ends_with(bench, ErrorCode.ACTIVATION, command)


@pytest.mark.parametrize(
    ("unit", "command"), [("array", 3), ("vector", 3), ("loader", 3), ("storer", 3), ("fetch", 4)]
)
def test_watchdog_names_the_last_command_handed_over(unit: str, command: int) -> None:
    """The FENCE is handed over to nobody, but passes unless one of its units hangs."""
    opcodes = (Opcode.LOAD, Opcode.STORE, Opcode.NORM, Opcode.MATMUL)
    program = [numbered(opcode, index, wait=_NONE) for index, opcode in enumerate(opcodes)]
    bench = run([*program, Command(Opcode.FENCE, wait=Unit.ALL)], hung={unit}, watchdog=300)
    ends_with(bench, ErrorCode.WATCHDOG, command)


def test_watchdog_before_any_command() -> None:
    """The memory answers nothing: the first command is to blame."""

    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        ctx.set(dut.i_beat.valid, 0)
        ctx.set(dut.ports_idle, ctx.get(dut.flush))

    bench = run([numbered(Opcode.NORM, 0)], watchdog=50, events=events)
    ends_with(bench, ErrorCode.WATCHDOG, 0)


def test_progress_keeps_the_watchdog_quiet() -> None:
    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        ctx.set(dut.progress, cycle % 40 == 0)

    program = [numbered(Opcode.NORM, 0), Command(Opcode.END)]
    assert run(program, longest={"vector": 2000}, watchdog=60, events=events).done
    assert run(program, longest={"vector": 2000}, watchdog=0).done


def test_of_errors_in_one_cycle_the_port_is_first() -> None:
    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        fault(ErrorCode.WRITE_RESPONSE, 0, 200)(cycle, ctx, dut, bench)
        if cycle == 200 + Sequencer.error_latency:
            ctx.set(dut.i_outside, 3)

    bench = run([numbered(Opcode.STORE, 0)], hung={"storer"}, events=events)
    ends_with(bench, ErrorCode.WRITE_RESPONSE, 0)


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

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
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
        ctx.set(dut.o_vector.ready, 1)
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
                for name in ("done", "o_vector"):
                    member = getattr(dut, name)
                    if ctx.get(member if name == "done" else member.valid):
                        seen.append(name)
                if ctx.get(dut.o_error.valid):
                    seen.append(ctx.get(dut.o_error.code))
                await ctx.tick()
            ctx.set(dut.i_beat.valid, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [int(ErrorCode.COMMAND_CHECK), "o_vector", "done"] * 2
