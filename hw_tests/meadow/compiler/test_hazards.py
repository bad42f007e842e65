# SPDX-License-Identifier: Apache-2.0
"""Waits against brute force: every pair of commands that share a beat on chip is kept apart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadow.compiler.hazards import Footprint, footprints, with_waits
from meadow.spec.commands import Command, Flag, MatmulOutput, Opcode, Outputs, RowSet, Space, Unit
from meadow.spec.config import named_config

CONFIG = named_config("tiny")
TOKENS = 4
UNIT = {
    Opcode.LOAD: Unit.LOADER,
    Opcode.STORE: Unit.STORER,
    Opcode.MATMUL: Unit.ARRAY,
    Opcode.ATTEND: Unit.ARRAY,
    Opcode.NORM: Unit.VECTOR,
    Opcode.VECTOR: Unit.VECTOR,
}


def beats(footprint: Footprint) -> set[tuple[str, int]]:
    return {
        (footprint.space, footprint.first + row * footprint.stride + beat)
        for row in range(footprint.rows)
        for beat in range(footprint.length)
    }


_FOOTPRINTS = st.builds(
    Footprint,
    space=st.just("activations"),
    first=st.integers(0, 40),
    stride=st.integers(1, 9),
    length=st.integers(1, 9),
    rows=st.integers(1, 6),
)


@given(_FOOTPRINTS, _FOOTPRINTS)
def test_sharing_is_never_missed_and_exact_for_equal_strides(a: Footprint, b: Footprint) -> None:
    shared = bool(beats(a) & beats(b))
    assert a.meets(b) == b.meets(a)
    if shared:
        assert a.meets(b)
    if a.stride == b.stride and a.rows == b.rows and max(a.length, b.length) <= a.stride:
        inside = a.end > b.first and b.end > a.first
        crossing = (b.first - a.first) % a.stride + b.length > a.stride
        if inside and not crossing and abs(b.first - a.first) < a.stride:
            assert a.meets(b) == shared


def drawn(chance: random.Random) -> Command:
    """A command whose areas are small and close, so that many of them meet."""

    def area(name: str) -> dict[str, int]:
        return {name: chance.randrange(40), f"{name}_stride": chance.choice([2, 4])}

    opcode = chance.choice(list(UNIT))
    values: dict[str, int] = {"row_set": RowSet.CHUNK}
    if opcode == Opcode.LOAD:
        values |= area("destination") | {"row_beats": chance.randint(1, 3)}
        values["space"] = chance.choice([Space.ACTIVATION, Space.NORM])
    elif opcode == Opcode.STORE:
        values |= area("source") | {"segments": 1, "segment_beats": chance.randint(1, 3)}
    elif opcode == Opcode.MATMUL:
        values |= area("source") | area("destination")
        values |= {"tiles": chance.randint(1, 2), "slices": 1}
        values["output"] = chance.choice(list(MatmulOutput))
    elif opcode == Opcode.ATTEND:
        values = area("query") | {"blocks": 1, "segment_beats": 1, "column_beats": 0}
    elif opcode == Opcode.NORM:
        values |= area("source") | area("destination") | {"words": 2}
    else:
        values |= area("destination")
    return Command(
        opcode,
        values,
        condition=Outputs(chance.choice([0, 0, 0, 1])),
        flags=Flag.HOLD_FETCH if opcode == Opcode.ATTEND and chance.random() < 0.3 else Flag(0),
    )


def finished_before(commands: list[Command], earlier: int, later: int) -> bool:
    """True if command `later` cannot start before `earlier` has ended, even if no conditional command runs."""
    unit = UNIT[commands[earlier].opcode]
    for index in range(earlier + 1, later + 1):
        command = commands[index]
        if index < later and command.condition:
            continue
        if command.wait & unit or command.flags & Flag.HOLD_FETCH:
            return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_every_conflict_is_waited_for(seed: int) -> None:
    chance = random.Random(seed)
    commands = with_waits([drawn(chance) for _ in range(30)], CONFIG, TOKENS)
    touched = [footprints(command, CONFIG, TOKENS) for command in commands]
    sets = [
        [{beat for part in side for beat in beats(part)} for side in command] for command in touched
    ]
    conflicts = 0
    for later in range(len(commands)):
        for earlier in range(later):
            (old_reads, old_writes), (reads, writes) = sets[earlier], sets[later]
            array = {UNIT[commands[i].opcode] for i in (earlier, later)} == {Unit.ARRAY}
            conflict = old_writes & reads
            if not array:
                conflict = conflict or old_writes & writes or old_reads & writes
            if conflict:
                conflicts += 1
                assert finished_before(commands, earlier, later), f"seed {seed}: {earlier} {later}"
    assert conflicts > 20


def test_nothing_waits_without_a_reason() -> None:
    far = [
        Command(Opcode.LOAD, {"destination": 0, "destination_stride": 2, "row_beats": 2}),
        Command(
            Opcode.STORE,
            {"source": 400, "source_stride": 2, "segments": 1, "segment_beats": 1},
        ),
        Command(
            Opcode.MATMUL,
            {"source": 100, "source_stride": 2, "destination": 200, "destination_stride": 2}
            | {"tiles": 2, "slices": 2, "output": MatmulOutput.INT8},
        ),
    ]
    assert [command.wait for command in with_waits(far, CONFIG, TOKENS)] == [Unit(0)] * 3
    assert with_waits([*far, Command(Opcode.END)], CONFIG, TOKENS)[-1].wait == Unit.ALL


def test_heads_in_one_word_do_not_wait_for_each_other() -> None:
    """small has words of 32 bytes: two heads of 16 side by side."""
    heads = [
        Command(
            Opcode.ATTEND,
            {"query": 10, "query_stride": 1, "blocks": 1, "segment_beats": 1, "column_beats": head},
        )
        for head in range(2)
    ]
    assert [one.wait for one in with_waits(heads, named_config("small"), TOKENS)] == [Unit(0)] * 2
