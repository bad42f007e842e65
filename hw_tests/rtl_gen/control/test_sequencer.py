# SPDX-License-Identifier: Apache-2.0
"""The sequencer against a Python model of program order, waits, conditions, held fetches and
stop.
"""

from __future__ import annotations

import random

import pytest

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
from hw_tests.streams import simulate
from meadow.spec.commands import Command, Flag, Opcode, Outputs, Unit
from rtl_gen.control.sequencer import Sequencer

_ALWAYS = Outputs(0)
_STORING = 8 | 8 << 4
"""Bits of `Bench.overlaps`: the storer is busy, writes are pending."""


def check(commands: list[Command], outputs: Outputs, seed: int) -> Bench:
    """Runs the commands and END; order, conditions, waits and held fetches as the contract says."""
    program = program_of([*commands, Command(Opcode.END)])
    bench = Bench(program, len(commands) + 1, outputs, seed)
    bench.run()
    assert bench.done and not bench.errors, f"seed {seed}"
    active = [
        index
        for index, command in enumerate(commands)
        if command.opcode in UNIT_PORT and (not command.condition or command.condition & outputs)
    ]
    assert [index for event, index in bench.log if event == "execute"] == active, f"seed {seed}"
    fetched = [index for index in active if commands[index].opcode in FETCHED]
    assert [index for event, index in bench.log if event == "fetch"] == fetched, f"seed {seed}"
    stores = [index for index in active if commands[index].opcode == Opcode.STORE]
    for name, index, busy in bench.overlaps:
        if name == "fetch":
            if commands[index].flags & Flag.HOLD_FETCH:
                assert not busy & _STORING, f"seed {seed}: held fetch of {index} overtook a STORE"
                earlier = {("execute", k) for k in stores if k < index}
                assert earlier <= set(bench.log[: bench.log.index(("fetch", index))])
        else:
            assert busy & int(commands[index].wait) == 0, f"seed {seed}: command {index}"
            if commands[index].flags & Flag.HOLD_FETCH:
                assert ("fetch", index) in bench.log[: bench.log.index(("execute", index))]
    assert bench.reads == 4 * (len(commands) + 1)
    return bench


@pytest.mark.parametrize("seed", [*range(4), *map(slow, range(4, 12))])
def test_program_order_waits_and_conditions(seed: int) -> None:
    chance = random.Random(salted(seed))
    commands = []
    for index in range(40):
        opcode = chance.choice([*UNIT_PORT, Opcode.STORE, Opcode.FENCE])
        commands.append(
            numbered(
                opcode,
                index,
                wait=Unit(chance.choice([0, 15, chance.randrange(16)])),
                condition=Outputs(chance.choice([0, 0, 1, 2, 4, 8, chance.randrange(16)])),
                flags=Flag(chance.randrange(2)) if opcode in FETCHED else Flag(0),
            )
        )
    check(commands, chance.choice([Outputs.LOGITS, Outputs.ARGMAX | Outputs.WIDE]), seed)


@pytest.mark.parametrize("outputs", [Outputs.NARROW, Outputs.WIDE])
@pytest.mark.parametrize("seed", [0, slow(1), slow(2)])
def test_variants_of_attention(seed: int, outputs: Outputs) -> None:
    """Of two variants one runs; held commands and STOREs of the other neither run nor keep anything
    waiting.
    """
    commands: list[Command] = []

    def add(opcode: Opcode, condition: Outputs = _ALWAYS, held: bool = False) -> None:
        flags = Flag.HOLD_FETCH if held else Flag(0)
        commands.append(
            numbered(opcode, len(commands), wait=Unit(0), condition=condition, flags=flags)
        )

    for _ in range(3):
        add(Opcode.MATMUL)
        add(Opcode.STORE)
        for condition, heads in ((Outputs.NARROW, 1), (Outputs.WIDE, 3)):
            for head in range(heads):
                add(Opcode.ATTEND, condition, held=head == 0)
                add(Opcode.STORE, condition)
                add(Opcode.LOAD, condition, held=True)
        add(Opcode.STORE)
        add(Opcode.LOAD, held=True)
    bench = check(commands, outputs, seed)
    skipped = {k for k, c in enumerate(commands) if c.condition not in (_ALWAYS, outputs)}
    assert skipped and not skipped & {index for _, index in bench.log}


@pytest.mark.parametrize("slow", ["array", "fetch"])
def test_skipped_command_waits_for_nothing(slow: str) -> None:
    """Neither for units nor for the fetch pointer, which may be far behind."""
    commands = [
        numbered(Opcode.MATMUL, 0, wait=Unit(0)),
        numbered(Opcode.LOAD, 1, wait=Unit(0)),
        numbered(Opcode.ATTEND, 2, condition=Outputs.WIDE, flags=Flag.HOLD_FETCH),
        numbered(Opcode.NORM, 3, wait=Unit(0)),
    ]
    program = program_of(commands)
    bench = Bench(program, 4, Outputs.NARROW, 5, longest={slow: 1000})
    bench.run()
    assert bench.done
    assert bench.handed["execute", 3] - bench.handed["execute", 0] < 40


def test_held_fetch_waits_for_stores_only() -> None:
    """Array and vector stay busy for long; the held fetch goes as soon as the STORE before it is
    answered.
    """
    commands = [
        numbered(Opcode.NORM, 0, wait=Unit(0)),
        numbered(Opcode.MATMUL, 1, wait=Unit(0)),
        numbered(Opcode.STORE, 2, wait=Unit(0)),
        numbered(Opcode.ATTEND, 3, wait=Unit.ARRAY, flags=Flag.HOLD_FETCH),
    ]
    program = program_of(commands)
    released_early = 0
    for seed in range(8):
        bench = Bench(program, 4, Outputs.NARROW, seed, longest={"array": 400, "vector": 400})
        bench.run()
        assert bench.done, f"seed {seed}"
        busy = next(busy for name, k, busy in bench.overlaps if (name, k) == ("fetch", 3))
        assert not busy & _STORING, f"seed {seed}"
        released_early += bool(busy & (Unit.ARRAY | Unit.VECTOR))
    assert released_early >= 4


@pytest.mark.parametrize("state", ["queued", "running", "unanswered"])
def test_held_fetch_waits_while_a_store_is(state: str) -> None:
    """The STORE before it waits for the array, or keeps the storer busy, or has open responses: 100
    cycles each.
    """
    dut = Sequencer(config=CONFIG)
    commands = [
        numbered(Opcode.STORE, 0, wait=Unit.ARRAY),
        numbered(Opcode.LOAD, 1, wait=Unit(0), flags=Flag.HOLD_FETCH),
        Command(Opcode.END),
    ]
    program = program_of(commands)
    beats = [int.from_bytes(program[k : k + 16], "little") for k in range(0, len(program), 16)]
    released = []

    async def feed(ctx) -> None:
        await ctx.tick().until(dut.o_read.valid)
        ctx.set(dut.i_beat.valid, 1)
        for beat in beats:
            ctx.set(dut.i_beat.payload, beat)
            await ctx.tick()
        ctx.set(dut.i_beat.valid, 0)

    async def units(ctx) -> None:
        ctx.set(dut.program_length, 3)
        for port in (dut.o_read, dut.o_fetch, dut.o_unit.loader, dut.o_unit.storer):
            ctx.set(port.ready, 1)
        ctx.set(dut.unit_busy, Unit.ARRAY.value if state == "queued" else 0)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        if state != "queued":
            while not ctx.get(dut.o_unit.storer.valid):
                await ctx.tick()
            # As the storer: busy from the cycle of the hand-over on, then responses follow without
            # a gap.
            ctx.set(dut.unit_busy, Unit.STORER.value)
            await ctx.tick()
            if state == "unanswered":
                ctx.set(dut.writes_pending, 1)
                await ctx.tick()
                ctx.set(dut.unit_busy, 0)
        for _ in range(100):
            assert not ctx.get(dut.o_fetch.valid) and not ctx.get(dut.o_unit.loader.valid)
            await ctx.tick()
        ctx.set(dut.unit_busy, 0)
        ctx.set(dut.writes_pending, 0)
        for cycle in range(10):
            if ctx.get(dut.o_fetch.valid):
                released.append(cycle)
            await ctx.tick()

    simulate(dut, units, background=[feed])
    assert len(released) == 1


def test_end_stops_a_longer_program() -> None:
    commands = [numbered(Opcode.NORM, 0), Command(Opcode.END), numbered(Opcode.NORM, 2)]
    bench = Bench(program_of(commands), 3, Outputs.ARGMAX, 1)
    bench.run()
    assert bench.done
    assert bench.log == [("execute", 0)]


def test_length_stops_a_program_without_end() -> None:
    commands = [numbered(Opcode.LOAD, index) for index in range(9)]
    bench = Bench(program_of(commands), 5, Outputs.ARGMAX, 2)
    bench.run()
    assert bench.done
    assert [index for event, index in bench.log if event == "execute"] == list(range(5))


def test_stop_abandons_the_program() -> None:
    commands = [numbered(Opcode.NORM, index) for index in range(30)]
    bench = Bench(program_of(commands), 30, Outputs.ARGMAX, 4, stop_at=60)
    bench.run()
    assert not bench.done and not bench.errors
    assert len(bench.log) < 30
