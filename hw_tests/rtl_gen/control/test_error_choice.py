# SPDX-License-Identifier: Apache-2.0
"""Which error a program ends with, and which command it names: of ports, units, commands and the
watchdog.
"""

from __future__ import annotations

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.control.sequencer_bench import (
    Bench,
    ends_with,
    flipped,
    numbered,
    report,
    run,
)
from meadow.spec.commands import Command, Opcode, Unit
from meadow.spec.registers import ErrorCode
from rtl_gen.control.sequencer import Sequencer

_NONE = Unit(0)


def fault(code: ErrorCode, command: int, at: int, *, port: int = 0, **fields: int):
    """An event: a port or decoder reports a fault of a command."""

    def events(cycle: int, ctx, dut: Sequencer, bench: Bench) -> None:
        if cycle == at:
            report(ctx, dut, {"code": int(code), "command": command, **fields}, port)

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
            values = {"code": int(code), "command": 4, "address": 64, "of_commands": 1}
            report(ctx, dut, values)

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
