# SPDX-License-Identifier: Apache-2.0
"""Waits against brute force: every pair of commands that share a beat on chip is kept apart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_tests.seeds import salted
from meadow.compiler.lowering.hazards import Footprint, footprints, with_waits
from meadow.spec.commands import (
    AttendPart,
    Command,
    Flag,
    Opcode,
    Outputs,
    RowSet,
    Space,
    Unit,
)
from meadow.spec.config import named_config
from meadow.spec.epilogue import MatmulOutput

CONFIG = named_config("tiny")
TOKENS = 4
OPCODES = {
    Unit.LOADER: (Opcode.LOAD,),
    Unit.STORER: (Opcode.STORE,),
    Unit.ARRAY: (Opcode.MATMUL, Opcode.ATTEND),
    Unit.VECTOR: (Opcode.NORM, Opcode.SOFTMAX, Opcode.VECTOR),
}
UNIT = {opcode: unit for unit, opcodes in OPCODES.items() for opcode in opcodes}
# Every value that register `outputs` can have: one of the variants, with any results asked for.
REGISTERS = [
    Outputs(asked) | variant for asked in range(4) for variant in (Outputs.NARROW, Outputs.WIDE)
]
CONDITIONS = [Outputs(0)] * 8 + [
    Outputs.ARGMAX,
    Outputs.ARGMAX | Outputs.LOGITS,
    *[Outputs.NARROW, Outputs.WIDE] * 3,
]


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
        values["space"] = chance.choice(list(Space))
    elif opcode == Opcode.STORE:
        values |= area("source") | {"segments": 1, "segment_beats": chance.randint(1, 3)}
    elif opcode == Opcode.MATMUL:
        values |= area("source") | area("destination") | area("operand")
        values |= {"tiles": chance.randint(1, 2), "slices": 1}
        values["operand_words"] = chance.choice([0, 1])
        values["output"] = chance.choice(list(MatmulOutput))
    elif opcode == Opcode.ATTEND:
        values = area("query") | area("scores") | {"segment_beats": 1, "column_beats": 0}
        values |= {"blocks": chance.randint(1, 2), "heads": chance.randint(1, 2)}
        values |= {"part": chance.choice(list(AttendPart)), "rows": chance.randint(0, TOKENS)}
        values["first"] = chance.randint(0, TOKENS - values["rows"]) if values["rows"] else 0
    elif opcode == Opcode.NORM:
        values |= area("source") | area("destination") | {"words": 2}
        values["residual"] = chance.randint(0, 1)
    elif opcode == Opcode.SOFTMAX:
        values = area("source") | {"rows": chance.randint(1, TOKENS)}
    else:
        values |= area("destination")
    return Command(
        opcode,
        values,
        condition=chance.choice(CONDITIONS),
        flags=Flag.HOLD_FETCH if opcode == Opcode.ATTEND and chance.random() < 0.3 else Flag(0),
    )


def runs(command: Command, register: Outputs) -> bool:
    return not command.condition or bool(command.condition & register)


def finished_before(commands: list[Command], earlier: int, later: int, register: Outputs) -> bool:
    """True if command `later` cannot start before `earlier` has ended, as far as commands wait for
    units.
    """
    unit = UNIT[commands[earlier].opcode]
    return any(
        command.wait & unit and runs(command, register)
        for command in commands[earlier + 1 : later + 1]
    )


@pytest.mark.parametrize("seed", range(40))
def test_every_conflict_is_waited_for(seed: int) -> None:
    chance = random.Random(salted(seed))
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
            if not conflict:
                continue
            for register in REGISTERS:
                if runs(commands[earlier], register) and runs(commands[later], register):
                    conflicts += 1
                    place = f"seed {seed}: {earlier} {later} {register!r}"
                    assert finished_before(commands, earlier, later, register), place
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


def test_query_heads_of_narrow_kv_heads_keep_to_their_columns() -> None:
    """Two KV heads of 16 in words of 32 bytes, three query heads each, one word after the other."""
    small = named_config("small")
    fields = {"query": 10, "query_stride": 4, "blocks": 1, "segment_beats": 1, "heads": 3}
    left, right = (Command(Opcode.ATTEND, fields | {"column_beats": c}) for c in range(2))
    assert [one.wait for one in with_waits([left, right], small, TOKENS)] == [Unit(0)] * 2
    reads, writes = footprints(left, small, TOKENS)
    assert (
        reads
        == writes
        == tuple(Footprint("activations", 20 + 2 * head, 8, 1, TOKENS) for head in range(3))
    )
    whole = Command(Opcode.ATTEND, fields | {"segment_beats": 2, "blocks": 2, "query_stride": 6})
    assert footprints(whole, small, TOKENS)[0] == (Footprint("activations", 20, 12, 12, TOKENS),)


def test_parts_of_attention_have_rows_and_a_scores_area() -> None:
    fields = {"query": 10, "query_stride": 4, "blocks": 1, "segment_beats": 1, "column_beats": 0}
    fields |= {"heads": 1, "first": 2, "rows": 3, "scores": 100, "scores_stride": 7}
    query = (Footprint("activations", 18, 4, 1, 3),)
    area = (Footprint("activations", 100, 7, 7, 3),)
    for part, expected in (
        (AttendPart.WHOLE, (query, query)),
        (AttendPart.SCORES, (query, area)),
        (AttendPart.VALUES, (area, query)),
    ):
        assert footprints(Command(Opcode.ATTEND, fields | {"part": part}), CONFIG, 9) == expected
    softmax = Command(Opcode.SOFTMAX, {"source": 100, "source_stride": 7, "rows": 3})
    assert footprints(softmax, CONFIG, 9) == (area, area)


def test_what_outputs_read_besides_their_source() -> None:
    fields = {"source": 0, "source_stride": 4, "tiles": 1, "slices": 1, "destination": 40}
    fields |= {"destination_stride": 4, "operand": 90, "operand_stride": 4, "operand_words": 4}
    source = Footprint("activations", 0, 4, 1, TOKENS)
    written, two = (Footprint("activations", 40, 4, beats, TOKENS) for beats in (1, 2))
    table = Footprint("table", 0, 1, 256, 1)
    for output, more, place in (
        (MatmulOutput.INT8, (), written),
        (MatmulOutput.RELU, (), written),
        (MatmulOutput.TABLE, (table,), written),
        (MatmulOutput.TABLE16, (table,), two),
        (MatmulOutput.RESIDUAL16, (two,), two),
        (MatmulOutput.ROTATE8, (Footprint("activations", 90, 4, 4, TOKENS),), written),
        (MatmulOutput.GATE, (Footprint("activations", 90, 4, 4, TOKENS),), written),
    ):
        command = Command(Opcode.MATMUL, fields | {"output": output})
        assert footprints(command, CONFIG, TOKENS) == ((source, *more), (place,))
    command = Command(Opcode.MATMUL, fields | {"output": MatmulOutput.GATE, "operand_words": 0})
    operand = Footprint("activations", 90, 4, 2, TOKENS)
    assert footprints(command, CONFIG, TOKENS) == ((source, operand), (written,))


def test_a_gate_waits_for_the_activation_that_it_reads_and_for_nothing_of_its_own() -> None:
    """Two slices in place: four words of the activation become two words of the product."""
    fields = {"source": 0, "source_stride": 1, "tiles": 1, "slices": 2, "destination": 40}
    fields |= {"destination_stride": 4, "row_set": RowSet.CHUNK}
    gate = fields | {"output": MatmulOutput.GATE, "operand": 40, "operand_stride": 4}
    hidden = {"source": 40, "source_stride": 4, "tiles": 2, "slices": 1, "destination": 90}
    hidden |= {"output": MatmulOutput.RESIDUAL16}
    commands = [
        Command(Opcode.MATMUL, fields | {"output": MatmulOutput.TABLE16}),
        Command(Opcode.MATMUL, gate),
        Command(Opcode.MATMUL, hidden | {"destination_stride": 1}),
        Command(Opcode.MATMUL, fields | {"output": MatmulOutput.TABLE16}),
        Command(Opcode.MATMUL, gate),
    ]
    array, none = Unit.ARRAY, Unit(0)
    waits = [command.wait for command in with_waits(commands, CONFIG, TOKENS)]
    assert waits == [none, array, array, none, array]
    assert with_waits([Command(Opcode.MATMUL, gate)], CONFIG, TOKENS)[0].wait == none
    # Words that only the activation takes are read all the same.
    elsewhere = {"source": 42, "source_stride": 4, "segments": 1, "segment_beats": 1}
    load = {"destination": 43, "destination_stride": 4, "row_beats": 1, "row_set": RowSet.CHUNK}
    behind = [Command(Opcode.STORE, elsewhere), Command(Opcode.LOAD, load)]
    waits = [with_waits([commands[1], one], CONFIG, TOKENS)[1].wait for one in behind]
    assert waits == [none, array]


def test_a_table_waits_for_those_who_read_the_last_one_and_they_for_it() -> None:
    load = Command(Opcode.LOAD, {"space": Space.TABLE, "row_beats": 256, "rows": 1})
    fields = {"source": 0, "source_stride": 4, "tiles": 1, "slices": 1, "destination": 40}
    use = Command(Opcode.MATMUL, fields | {"destination_stride": 4, "output": MatmulOutput.TABLE})
    waits = [command.wait for command in with_waits([load, use, load, use], CONFIG, TOKENS)]
    assert waits == [Unit(0), Unit.LOADER, Unit.ARRAY, Unit.LOADER]


def test_a_variant_waits_once_and_both_serve_those_behind() -> None:
    query = {"query": 10, "query_stride": 4, "blocks": 1, "segment_beats": 1, "column_beats": 0}
    projection = Command(
        Opcode.MATMUL,
        {"source": 100, "source_stride": 4, "tiles": 1, "slices": 4, "destination": 10}
        | {"destination_stride": 4, "output": MatmulOutput.INT8},
    )

    def attend(head: int, condition: Outputs) -> Command:
        fields = query | {"query": 10 + head}
        return Command(Opcode.ATTEND, fields, condition=condition, flags=Flag.HOLD_FETCH)

    def norm(first: int) -> Command:
        fields = {"source": 200, "source_stride": 4, "destination": first, "words": 2}
        return Command(Opcode.NORM, fields | {"destination_stride": 4})

    narrow = [attend(head, Outputs.NARROW) for head in range(2)]
    wide = [attend(head, Outputs.WIDE) for head in range(2)]
    array, none = Unit.ARRAY, Unit(0)

    def waits(*commands: Command) -> list[Unit]:
        return [one.wait for one in with_waits([projection, *commands], CONFIG, TOKENS)][1:]

    assert waits(*narrow, *wide) == [array, none, array, none]
    # The third head was computed by none of them: only the projection is waited for.
    assert waits(*narrow, *wide, norm(12)) == [array, none, array, none, none]
    assert waits(*narrow, norm(12)) == [array, none, array]
    assert waits(*narrow, *wide, norm(11)) == [array, none, array, none, array]
