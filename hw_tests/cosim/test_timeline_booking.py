# SPDX-License-Identifier: Apache-2.0
"""Work is booked on the command that caused it, by evidence that does not come from the timeline.

The bus: every beat belongs to a burst, and the image says whose command reads or writes at its
address. Single steps: a command that runs alone does the same work as among others. The hand-over:
a unit that takes one command at a time starts when the sequencer hands it over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import cache

import pytest

from cosim.library import DramSettings
from hw_tests.cosim.timeline_bench import (
    Event,
    Recorded,
    amounts,
    candidates,
    commands_of,
    raw_image,
    record,
    record_alone,
    runs,
)
from hw_tests.models import family_description
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.model.image import Image
from meadow.spec.commands import UNIT_OF, Opcode, Unit
from meadow.spec.config import BEAT_BYTES, named_config
from rtl_gen.interfaces.command import NO_COMMAND

_STEPS = {"tphs": (11, 19), "gemm": (0, 23)}
"""Cached and new tokens."""
_SCENES = {
    "plenty": DramSettings(),
    "scarce": DramSettings(rate=(7, 1), seed=salted(2)),
    "stalling": DramSettings(rate=(12, 1), stalls=60, seed=salted(3)),
}
_CASES = [
    (config, program, scene)
    for config in ("tiny", "small")
    for program in ("tphs", "gemm")
    for scene in _SCENES
] + [("tiny", "llama", "stalling")]
_WORK = ("array_busy", "drain_busy", "score_drain", "writer_busy")
"""Items whose cycles are work done, the same whatever else goes on; beside them those of ports and
decoders.
"""

_TILE_TO_STEP = 4
"""Cycles from the last write of a tile to the end of the wait for it, as the timeline's registers
show them.
"""

pytestmark = pytest.mark.sim


@cache
def _image(config: str, program: str) -> Image:
    if program == "llama":
        description = family_description("llama", width=48, hidden=80, vocabulary=70)
    else:
        description = opt_description(hidden=80)
    dataflow = "gemm" if program == "gemm" else "tphs"
    return raw_image(
        description,
        config,
        dataflow=dataflow,
        step=_STEPS["gemm"] if dataflow == "gemm" else None,
    )


@cache
def _recorded(config: str, program: str, scene: str) -> Recorded:
    position, tokens = _STEPS.get(program, _STEPS["tphs"])
    return record(_image(config, program), _SCENES[scene], position=position, tokens=tokens)


@cache
def _alone(config: str, program: str) -> dict[str, Counter[int]]:
    position, tokens = _STEPS.get(program, _STEPS["tphs"])
    return record_alone(_image(config, program), DramSettings(), position=position, tokens=tokens)


def _handed_over(recorded: Recorded) -> dict[int, int]:
    """Cycle in which a command's turn at the sequencer ended, by command."""
    return {event.command: event.end for event in recorded.events["sequencer"]}


@pytest.mark.parametrize("config, program, scene", _CASES)
def test_every_beat_is_booked_on_the_command_whose_address_it_has(
    config: str, program: str, scene: str
) -> None:
    image, recorded = _image(config, program), _recorded(config, program, scene)
    certain = total = 0
    for port in range(named_config(config).ports):
        for write, track in ((0, f"port{port}_read"), (1, f"port{port}_write")):
            owners = candidates(image, recorded.step, write=bool(write), port=port)
            mine = (recorded.bursts["port"] == port) & (recorded.bursts["write"] == write)
            expected, earliest = [], []
            for burst in recorded.bursts[mine]:
                first = (int(burst["address"]) - recorded.base) // BEAT_BYTES
                beats = int(burst["beats"])
                expected += owners[first : first + beats]
                earliest += [int(burst["cycle"])] * beats
            events = recorded.events[track]
            booked = commands_of(events)
            assert len(booked) == len(expected)
            for beat, (command, allowed) in enumerate(zip(booked, expected, strict=True)):
                assert command in allowed, f"{track}, beat {beat}"
            certain += sum(len(allowed) == 1 for allowed in expected)
            total += len(expected)
            own = [command for command in booked if command != NO_COMMAND]
            assert own == sorted(own), "descriptors have program order"
            cycles = [event.start + beat for event in events for beat in range(event.work)]
            assert all(cycle > after for cycle, after in zip(cycles, earliest, strict=True))
    # Only the baseline reads or writes one place for several commands.
    assert certain > total // 2 if program == "gemm" else certain == total > 0


@pytest.mark.parametrize("config, program, scene", _CASES)
def test_a_command_does_the_same_work_among_others_as_alone(
    config: str, program: str, scene: str
) -> None:
    seen, alone = amounts(_recorded(config, program, scene)), _alone(config, program)
    ports = range(named_config(config).ports)
    items = [*_WORK, *(f"port{port}_{way}" for port in ports for way in ("read", "write"))]
    items += [f"decoder{port}_{part}" for port in ports for part in ("tile", "parameter")]
    for item in items:
        assert +seen[item] == +alone[item], item
        assert sum(seen[item].values()) > 0, item


@pytest.mark.parametrize("config, program, scene", _CASES)
def test_units_start_when_their_command_is_handed_over_and_end_before_the_next(
    config: str, program: str, scene: str
) -> None:
    image, recorded = _image(config, program), _recorded(config, program, scene)
    handed = _handed_over(recorded)
    for unit, track in (
        (Unit.LOADER, "loader"),
        (Unit.VECTOR, "vector"),
        (Unit.STORER, "storer"),
    ):
        events = recorded.events[track]
        expected = [i for i in handed if _unit(image, recorded, i) == unit]
        assert [event.command for event in events] == expected
        assert len({event.start - handed[event.command] for event in events}) == 1, track
        assert all(-3 < event.start - handed[event.command] < 3 for event in events)
    array = recorded.events["array"]
    order = [event.command for event in array]
    assert order == sorted(order) and set(order) == {
        i for i in handed if _unit(image, recorded, i) == Unit.ARRAY
    }
    assert all(event.start >= handed[event.command] for event in array)


def _unit(image: Image, recorded: Recorded, index: int) -> Unit | None:
    """Which unit executes a command, None if none does."""
    if index == NO_COMMAND or not runs(image.command(index), recorded.step):
        return None
    return UNIT_OF.get(image.command(index).opcode)


@pytest.mark.parametrize("config, program, scene", _CASES)
def test_sums_over_commands_are_the_counters(config: str, program: str, scene: str) -> None:
    recorded = _recorded(config, program, scene)
    sums = {item: sum(by.values()) for item, by in amounts(recorded).items()}
    counters = recorded.counters
    for item in set(sums) & set(counters):
        assert sums[item] == counters[item], item
    assert sum(event.work for event in recorded.events["sequencer"]) == counters["cycles"]
    for wait in ("tile", "operand", "drain", "softmax"):
        events = recorded.events[f"array waits: {wait}"]
        assert sum(event.work for event in events) == counters[f"stall_{wait}"]


@pytest.mark.parametrize("config, program, scene", _CASES)
def test_a_wait_for_a_tile_ends_with_a_tile_of_that_command(
    config: str, program: str, scene: str
) -> None:
    recorded = _recorded(config, program, scene)
    tiles = [
        tile
        for port in range(named_config(config).ports)
        for tile in recorded.events[f"decoder{port}_tile"]
    ]
    waits = recorded.events["array waits: tile"]
    assert waits
    for wait in waits:
        assert any(
            tile.command == wait.command and tile.start <= wait.end <= tile.end + _TILE_TO_STEP
            for tile in tiles
        ), f"command {wait.command}, cycle {wait.end}"


@pytest.mark.parametrize("program", ["tphs", "gemm"])
@pytest.mark.parametrize("config", ["tiny", "small"])
def test_commands_overlap_and_the_hand_over_would_book_them_wrongly(
    config: str, program: str
) -> None:
    recorded = _recorded(config, program, "plenty")
    handed = _handed_over(recorded)
    reads = [event for event in recorded.events["port0_read"] if event.command != NO_COMMAND]
    ahead = sum(event.work for event in reads if event.end <= handed[event.command])
    assert ahead > 0.2 * sum(event.work for event in reads)
    overlapping = {
        (drained.command, issued.command)
        for drained in recorded.events["drain"]
        for issued in _during(recorded.events["array"], drained)
        if issued.command > drained.command
    }
    assert overlapping
    order = sorted(handed.items(), key=lambda item: item[1])
    ends = [end for _, end in order]
    for track in ("port0_read", "decoder0_tile", "drain"):
        wrong = 0
        events = recorded.events[track]
        for event in events:
            latest = bisect_right(ends, event.start) - 1
            wrong += event.work * (latest < 0 or order[latest][0] != event.command)
        assert wrong > 0.1 * sum(event.work for event in events), track


def _during(events: list[Event], other: Event) -> list[Event]:
    return [event for event in events if event.start < other.end and other.start < event.end]


def test_opcodes_of_both_dataflows_are_there() -> None:
    for program, opcode in (("tphs", Opcode.ATTEND), ("gemm", Opcode.SOFTMAX)):
        image = _image("tiny", program)
        opcodes = {image.command(index).opcode for index in range(image.manifest.commands)}
        assert {opcode, Opcode.MATMUL, Opcode.STORE, Opcode.LOAD, Opcode.NORM} <= opcodes
