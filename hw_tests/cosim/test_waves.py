# SPDX-License-Identifier: Apache-2.0
"""Waveforms hold the signals of the commands asked for and no other time, and change nothing."""

from __future__ import annotations

import re
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pywellen import Waveform

from cosim.device import CosimDevice
from cosim.timeline import timeline_tracks
from cosim.wave_views import SCOPE, VIEWS, wave_groups
from cosim.waves import CYCLE_UNITS, TAIL_CYCLES, NothingRecorded, WaveRecorder, Waves
from firmware.device import DeviceTimeout
from firmware.session import Session
from hw_tests.cosim.timeline_bench import raw_image
from hw_tests.opt_models import opt_description
from meadow.atomic_write import OutputError
from meadow.model.image import Image
from meadow.spec.commands import Outputs
from meadow.spec.config import named_config
from meadow.spec.registers import Control, register_map
from rtl_gen.interfaces.command import NO_COMMAND

_OFFSETS = {entry.name: entry.offset for entry in register_map(named_config("tiny"))}
_PROGRAM = 400  # beat of the window
_SEQUENCER = [track.name for track in timeline_tracks(named_config("tiny"))].index("sequencer")


class _Simulation:
    """Instead of the chip: keeps what is asked of it and writes what an FST file consists of."""

    def __init__(self, cycles: int = 1, cut: int = 0) -> None:
        self.windows: list[tuple[int, int]] = []
        self.cycles, self.cut = cycles, cut

    def start_waves(self, path: Path, tracks: np.ndarray, *, running: int) -> None:
        self.path = path

    def record_waves(self, first: int, last: int) -> None:
        self.windows.append((first, last))

    def end_waves(self) -> int:
        text = b"".join(struct.pack(">BQ", kind, 8 + 5) + b"block" for kind in (0, 8, 3, 6))
        self.path.write_bytes(text[: len(text) - self.cut])
        return self.cycles


def _recorder(path: Path, simulation: _Simulation, **asked: Any) -> WaveRecorder:
    waves = Waves(path=path, program=_PROGRAM, commands=40, **asked)
    return WaveRecorder(waves, simulation, named_config("tiny"))  # pyright: ignore[reportArgumentType]


def _run(recorder: WaveRecorder, start: int, length: int) -> None:
    """The host starts `length` commands from command `start` of the program."""
    recorder.written(_OFFSETS["program"], _PROGRAM + 4 * start)
    recorder.written(_OFFSETS["program_length"], length)
    recorder.written(_OFFSETS["control"], Control.START | Control.INTERRUPT_ENABLE)
    recorder.written(_OFFSETS["control"], Control.ACKNOWLEDGE)


@pytest.mark.parametrize(
    ("asked", "runs", "windows"),
    [
        ({}, [(0, 40)], [(0, 39)]),
        ({"first": 3, "last": 5}, [(0, 40), (0, 40)], [(3, 5), (1, 0)]),
        ({"first": 3, "last": 5, "step": 1}, [(0, 40), (0, 40)], [(1, 0), (3, 5)]),
        # In parts, as `meadow bench` runs a program.
        ({"first": 3, "last": 12}, [(0, 4), (4, 6), (10, 30)], [(3, 3), (0, 5), (0, 2)]),
        # One by one with other programs between, as `meadow verify` does.
        ({"first": 1}, [(0, 1), (90, 2), (1, 1), (90, 2)], [(1, 0), (0, 0)]),
        ({"first": 0, "last": 0, "step": 1}, [(0, 1), (1, 1), (0, 1)], [(1, 0), (1, 0), (0, 0)]),
        # A part alone, as `meadow bench --phase attention` runs.
        ({}, [(8, 4)], [(0, 3)]),
    ],
)
def test_which_commands_of_a_run_are_recorded(
    asked: dict[str, int],
    runs: list[tuple[int, int]],
    windows: list[tuple[int, int]],
    tmp_path: Path,
) -> None:
    simulation = _Simulation()
    recorder = _recorder(tmp_path / "x.fst", simulation, **asked)
    for start, length in runs:
        _run(recorder, start, length)
    own = [run for run in runs if run[0] < 40]
    assert len(windows) == len(own)
    expected = iter(windows)
    assert simulation.windows == [next(expected) if run in own else (1, 0) for run in runs]
    recorder.end()


def test_the_files_are_there_when_all_is_done(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path / "x.fst", _Simulation())
    assert not (tmp_path / "x.fst").exists()
    recorder.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.fst", "x.gtkw", "x.sucl"]


def test_nothing_recorded_is_told_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.fst"
    path.write_text("before")
    recorder = _recorder(path, _Simulation(cycles=0), first=2, last=3, step=4)
    with pytest.raises(NothingRecorded, match="no waveforms were written: commands 2 to 3 of step"):
        recorder.end()
    recorder.end()
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    # What ended the run is told instead.
    recorder = _recorder(path, _Simulation(cycles=0))
    with pytest.raises(ZeroDivisionError):
        try:
            _ = 1 // 0
        finally:
            recorder.end()


@pytest.mark.parametrize("cut", [1, 15, 20])
def test_a_file_that_the_disk_cut_is_no_file(cut: int, tmp_path: Path) -> None:
    recorder = _recorder(tmp_path / "x.fst", _Simulation(cut=cut))
    with pytest.raises(OutputError, match="cannot write the waveforms: No space left"):
        recorder.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"first": -1}, "the first command must be at least 0, not -1"),
        ({"first": 3, "last": 2}, "command 3 comes after command 2"),
        ({"step": -1}, "the waveforms' step must be at least 0, not -1"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    asked: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Waves(path=tmp_path / "x.fst", **asked)
    (tmp_path / "x.gtkw").mkdir()
    with pytest.raises(OutputError, match="cannot write the waveforms: Is a directory"):
        Waves(path=tmp_path / "x.fst")


@cache
def _image() -> Image:
    return raw_image(opt_description(layers=1, hidden=80), "tiny")


def _simulated(
    path: Path | None, timeline: Path | None = None, **asked: int
) -> tuple[list[int], int, np.ndarray]:
    """Tokens and cycles of two steps, and the timeline's events."""
    image = _image()
    manifest = image.manifest
    waves = None
    if path is not None:
        place = manifest.regions["program"].offset
        waves = Waves(path=path, program=place, commands=manifest.commands, **asked)
    with CosimDevice(
        manifest.config,
        Session.window_bytes(image),
        waves=waves,
        timeline=timeline,
        timeline_gap_cycles=0,
    ) as device:
        session = Session(device, image)
        tokens = []
        for new in ([3] * 5, [1]):
            result = session.step({0: new}, outputs=Outputs.ARGMAX)
            assert result.tokens is not None
            tokens += [int(token) for token in result.tokens]
        cycles = device.simulation.cycle
        events = device.simulation.take_timeline() if timeline is not None else np.zeros(0)
    return tokens, cycles, events


def _cycles(wave: Waveform) -> list[int]:
    """The cycles of a file, by its clock: low before the edge of each, high behind it."""
    clock = wave[f"{SCOPE}.clk"].signal
    changes = [clock[index] for index in range(len(clock))]
    lows = [time for time, value in changes if value == 0]
    assert [time for time, value in changes if value == 1] == [
        time + CYCLE_UNITS // 2 for time in lows
    ]
    return [time // CYCLE_UNITS for time in lows]


@pytest.mark.sim
@pytest.mark.slow  # builds a simulator with tracing
def test_a_file_has_the_signals_and_only_the_commands_asked_for(tmp_path: Path) -> None:
    path, first, last = tmp_path / "x.fst", 4, 6
    plain = _simulated(None)
    tokens, cycles, events = _simulated(path, tmp_path / "t.json", first=first, last=last, step=1)
    assert (tokens, cycles) == plain[:2]
    wave = Waveform(str(path))
    assert wave.file_format == "FST" and str(wave.timescale).replace(" ", "").endswith("1ns")
    there: dict[str, Any] = {}
    for variable in wave.all_vars():
        there.setdefault(variable.full_name, variable)
    for view in wave_groups(named_config("tiny")):
        for name, bits in view.waves:
            assert there[f"{SCOPE}.{name}"].bitwidth == bits
    recorded = _cycles(wave)
    assert recorded == list(range(recorded[0], recorded[-1] + 1))
    # The second run of the program begins where the sequencer comes to its first command again.
    turns = [event for event in events if event["track"] == _SEQUENCER and event["command"] == 0]
    begin = max(int(event["start"]) for event in turns)
    own = [
        event for event in events if event["start"] >= begin and first <= event["command"] <= last
    ]
    assert recorded[0] == min(int(event["start"]) for event in own)
    assert recorded[-1] == max(int(event["start"] + event["cycles"]) for event in own) + (
        TAIL_CYCLES - 1
    )
    later = [event for event in events if last < event["command"] < NO_COMMAND]
    assert max(int(event["start"]) for event in later) > recorded[-1]
    index = there[f"{SCOPE}.command_index"].signal
    values = [index[place][1] for place in range(len(index))]
    assert values == sorted(values) and set(range(first, last + 2)) <= set(values)


@pytest.mark.sim
@pytest.mark.slow
def test_a_run_that_fails_leaves_what_was_recorded(tmp_path: Path) -> None:
    image = _image()
    path = tmp_path / "x.fst"
    place = image.manifest.regions["program"].offset
    waves = Waves(path=path, program=place, commands=image.manifest.commands)
    with (
        pytest.raises(DeviceTimeout),
        CosimDevice(
            image.manifest.config, Session.window_bytes(image), waves=waves, timeout_cycles=500
        ) as device,
    ):
        Session(device, image).step({0: [3] * 5})
    assert 400 < len(_cycles(Waveform(str(path)))) < 700
    assert all(path.with_suffix(ending).exists() for ending in VIEWS)
