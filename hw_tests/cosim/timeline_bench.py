# SPDX-License-Identifier: Apache-2.0
"""A step with its timeline and its bursts, and what the image says about which command moves which
beats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosim.device import CosimDevice
from cosim.library import DramSettings
from cosim.timeline import timeline_tracks
from firmware.session import Session
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.spec.commands import COMMAND_BYTES, AttendPart, Command, Opcode, Outputs
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.model import ModelDescription
from meadow.spec.step import Step
from rtl_gen.interfaces.command import NO_COMMAND

__all__ = [
    "Event",
    "Recorded",
    "amounts",
    "candidates",
    "commands_of",
    "raw_image",
    "record",
    "record_alone",
]

_OUTPUTS = Outputs.ARGMAX


@dataclass(frozen=True)
class Event:
    """An event of a track; `active` by item."""

    command: int
    start: int
    end: int
    active: dict[str, int]

    @property
    def work(self) -> int:
        """Cycles of the track's first item."""
        return next(iter(self.active.values()))


@dataclass(frozen=True)
class Recorded:
    """events: by track, by start; bursts: BURST, by cycle; counters: of the device; step, base: of
    the run.
    """

    events: dict[str, list[Event]]
    bursts: np.ndarray
    counters: dict[str, int]
    step: Step
    base: int


def raw_image(description: ModelDescription, config_name: str, **options: Any) -> Image:
    """A model of random integers in raw streams; `options` are those of `compile_image`."""
    return compile_image(
        synthetic_model(description, seed=salted(5)),
        named_config(config_name),
        config_name=config_name,
        codec="raw",
        tokenizer_json="{}",
        **options,
    )


def _device(image: Image, settings: DramSettings, gap_cycles: int) -> CosimDevice:
    return CosimDevice(
        image.manifest.config,
        Session.window_bytes(image),
        settings=settings,
        timeline=Path("never-written-here.json"),
        timeline_gap_cycles=gap_cycles,
    )


def _events(image: Image, taken: np.ndarray) -> dict[str, list[Event]]:
    tracks = timeline_tracks(image.manifest.config)
    events: dict[str, list[Event]] = {track.name: [] for track in tracks}
    for event in np.sort(taken, order=["start"]):
        track = tracks[int(event["track"])]
        active = {
            item: int(count) for item, count in zip(track.items, event["active"], strict=False)
        }
        start = int(event["start"])
        events[track.name].append(
            Event(int(event["command"]), start, start + int(event["cycles"]), active)
        )
    return events


def record(
    image: Image, settings: DramSettings, *, position: int, tokens: int, gap_cycles: int = 0
) -> Recorded:
    """The whole program in one piece, `tokens` new tokens behind `position` cached zeros."""
    device = _device(image, settings, gap_cycles)
    try:
        session = Session(device, image)
        session.positions[0] = position
        described = session.prepare({0: [3] * tokens}, outputs=_OUTPUTS)
        device.simulation.record_bursts()
        session.execute(0, image.manifest.commands)
        events = _events(image, device.simulation.take_timeline())
        bursts = device.simulation.take_bursts()
        return Recorded(events, bursts, session.registers.counters(), described, device.memory_base)
    finally:
        device.simulation.close()


def record_alone(
    image: Image, settings: DramSettings, *, position: int, tokens: int
) -> dict[str, Counter[int]]:
    """What `amounts` gives, of a run in which every command is a program of its own."""
    device = _device(image, settings, 0)
    totals: dict[str, Counter[int]] = {}
    try:
        session = Session(device, image)
        session.positions[0] = position
        session.prepare({0: [3] * tokens}, outputs=_OUTPUTS)
        device.simulation.take_timeline()
        for index in range(image.manifest.commands):
            session.execute(index)
            for some in _events(image, device.simulation.take_timeline()).values():
                for event in some:
                    assert event.command in (0, NO_COMMAND)
                    if event.command == 0:
                        for item, count in event.active.items():
                            totals.setdefault(item, Counter())[index] += count
    finally:
        device.simulation.close()
    return totals


def amounts(recorded: Recorded) -> dict[str, Counter[int]]:
    """Cycles in which an item happened, by item and command; without what belongs to no command."""
    totals: dict[str, Counter[int]] = {}
    for name, some in recorded.events.items():
        if name.startswith("array waits"):
            continue  # the array's track counts the same items
        for event in some:
            for item, count in event.active.items():
                if event.command != NO_COMMAND:
                    totals.setdefault(item, Counter())[event.command] += count
    return totals


def candidates(image: Image, step: Step, *, write: bool, port: int) -> list[set[int]]:
    """Which commands may move each beat of the window through `port`, by what the image's commands
    say.
    """
    owners: list[set[int]] = []

    def own(command: int, first: int, beats: int) -> None:
        while len(owners) < first + beats:
            owners.append(set())
        for beat in range(first, first + beats):
            owners[beat].add(command)

    if not write:
        region = image.manifest.regions["program"]
        own(NO_COMMAND, region.offset, image.manifest.commands * COMMAND_BYTES // BEAT_BYTES)
    for index in range(image.manifest.commands):
        command = image.command(index)
        if not runs(command, step):
            continue
        ranges = _stored if write else _fetched
        for first, beats in ranges(command.opcode, command.values, step, port):
            own(index, first, beats)
    return owners


def runs(command: Command, step: Step) -> bool:
    """Whether a command's condition is met; if not, it passes without effect."""
    return not command.condition or bool(command.condition & step.outputs)


def _fetched(
    opcode: Opcode, values: dict[str, int], step: Step, port: int
) -> Iterator[tuple[int, int]]:
    if opcode == Opcode.MATMUL:
        yield values[f"offset{port}"], values[f"beats{port}"]
    elif opcode == Opcode.LOAD:
        rows = step.row_count(values["row_set"], values["rows"])  # pyright: ignore[reportArgumentType]
        yield values["offset"], rows * values["row_beats"]
    elif opcode == Opcode.ATTEND:
        for sequence in step.sequences:
            new = values["first"] + values["rows"] if values["rows"] else sequence.tokens
            keys = sequence.position + new
            for block in range(values["blocks"]):
                start = sequence.kv_base + block * values["block_stride"]
                if values["part"] != AttendPart.VALUES:
                    yield start + values["key_offset"], keys * values["segment_beats"]
                if values["part"] != AttendPart.SCORES:
                    yield start + values["value_offset"], keys * values["segment_beats"]


def _stored(
    opcode: Opcode, values: dict[str, int], step: Step, port: int
) -> Iterator[tuple[int, int]]:
    if opcode != Opcode.STORE:
        return
    rows = step.row_count(values["row_set"], values["rows"])  # pyright: ignore[reportArgumentType]
    size = values["segment_beats"]
    for segment in range(values["segments"]):
        start = values["offset"] + segment * values["segment_stride"]
        if values["cache"]:
            for sequence in step.sequences:
                yield start + sequence.kv_base + sequence.position * size, sequence.tokens * size
        else:
            yield start, rows * size


def commands_of(beats: Sequence[Event]) -> list[int]:
    """The command of every beat, in order."""
    return [event.command for event in beats for _ in range(event.work)]
