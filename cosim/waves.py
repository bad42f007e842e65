# SPDX-License-Identifier: Apache-2.0
"""Waveforms of some commands of a program: every signal of the simulated chip in an FST file, and
files beside it with which viewers show the signals that one looks at first.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cosim.library import Simulation
from cosim.timeline import native_tracks
from cosim.wave_views import VIEWS, view_path
from meadow.atomic_write import OutputError, check_replaceable, replacing
from meadow.spec.checks import check_least
from meadow.spec.commands import COMMAND_BYTES
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.registers import Control, register_map
from rtl_gen.interfaces.activity import activity_items

__all__ = ["CYCLE_UNITS", "TAIL_CYCLES", "NothingRecorded", "WaveRecorder", "Waves"]

CYCLE_UNITS = 10
"""Time units (ns) of the file in a clock cycle, whatever the clock: cycle c begins at c times this,
its rising edge is half way. kWaveUnits of waves.hpp."""

TAIL_CYCLES = 64
"""Cycles after the last work on a command that are recorded too. kWaveTail of waves.hpp."""

_COMMAND_BEATS = COMMAND_BYTES // BEAT_BYTES
_WHAT = "the waveforms"
_NONE = (1, 0)


class NothingRecorded(ValueError):
    """The run had none of the commands that were asked for; no file was written."""


@dataclass(frozen=True, kw_only=True)
class Waves:
    """What is recorded.

    path: FST file; the files for viewers lie beside it (`cosim.wave_views`).
    first, last: index of the first and the last command in the program, last None for its end.
    step: which run of the program, from 0 on; it may run in parts, in order.
    program, commands: beat of the DMA window where the program begins, and how many commands it
        has; what runs from elsewhere is not recorded and does not count.

    Raises ValueError for numbers that are none of these, OutputError if a file cannot be written.
    """

    path: Path
    first: int = 0
    last: int | None = None
    step: int = 0
    program: int = 0
    commands: int = 1 << 24

    def __post_init__(self) -> None:
        check_least("the first command", self.first, 0)
        check_least("the waveforms' step", self.step, 0)
        if self.last is not None and self.last < self.first:
            raise ValueError(f"command {self.first} comes after command {self.last}")
        for path in self.files:
            check_replaceable(path, _WHAT)

    @property
    def files(self) -> tuple[Path, ...]:
        """The waveforms, then the files for viewers."""
        return self.path, *(view_path(self.path, ending) for ending in VIEWS)

    @property
    def text(self) -> str:
        """The commands in words, as the subject of a sentence in the past."""
        end = "the last one" if self.last is None else str(self.last)
        return f"commands {self.first} to {end} of step {self.step} were"


class WaveRecorder:
    """Writes `waves` of `simulation`, which is the chip `config`, and sees from the registers that
    the host writes which part of the program runs.

    `end` completes the files. What was recorded until the chip or the host failed is a whole file
    too; without `end` there is none. In a forked child it does nothing.
    """

    def __init__(self, waves: Waves, simulation: Simulation, config: AcceleratorConfig) -> None:
        self._waves, self._simulation, self._config = waves, simulation, config
        self._offsets = {entry.offset: entry.name for entry in register_map(config)}
        self._values = {"program": 0, "program_length": 0}
        self._step, self._part = -1, 0
        self._on = True
        with ExitStack() as stack:
            self._temporary = Path(stack.enter_context(replacing(waves.path, _WHAT)).name)
            simulation.start_waves(
                self._temporary,
                native_tracks(config),
                running=activity_items(config).index("sequencer_busy"),
            )
            self._replacing = stack.pop_all()

    def written(self, offset: int, value: int) -> None:
        """The host is about to write a register."""
        name = self._offsets.get(offset)
        if name in self._values:
            self._values[name] = value
        elif name == "control" and value & Control.START:
            self._simulation.record_waves(*self._window())

    def _window(self) -> tuple[int, int]:
        """Commands to record of those that start now, as the chip counts them."""
        waves = self._waves
        start, rest = divmod(self._values["program"] - waves.program, _COMMAND_BEATS)
        if rest or not 0 <= start < waves.commands:
            return _NONE
        if self._step < 0 or start <= self._part:
            self._step += 1
        self._part = start
        end = start + self._values["program_length"] - 1
        first = max(waves.first, start)
        last = end if waves.last is None else min(waves.last, end)
        return _NONE if self._step != waves.step or first > last else (first - start, last - start)

    def end(self) -> None:
        """Complete the files. NothingRecorded, unless something else failed, OutputError."""
        if not self._on:
            return
        self._on = False
        failed = sys.exception() is not None  # what ends the run is to be told, not what follows
        try:
            with self._replacing:
                if not self._simulation.end_waves():
                    raise NothingRecorded(f"no waveforms were written: {self._waves.text} not run")
                _check_whole(self._temporary, self._waves.path)
        except NothingRecorded:
            if failed:
                return
            raise
        for ending, text in VIEWS.items():
            with replacing(view_path(self._waves.path, ending), _WHAT) as file:
                file.write(text(self._waves.path.name, self._config).encode())


def _check_whole(written: Path, path: Path) -> None:
    """OutputError unless the blocks of an FST file fill it exactly, as they do not when a disk was
    full: the writer does not look.
    """
    size, place = written.stat().st_size, 0
    kinds = []
    with written.open("rb") as file:
        while place + 9 <= size:
            file.seek(place)
            kind, length = struct.unpack(">BQ", file.read(9))
            kinds.append(kind)
            place += 1 + length
            if length < 8:
                break
    header, geometry, hierarchy = 0, 3, 6
    if place != size or kinds[:1] != [header] or not {geometry, hierarchy} <= set(kinds):
        text = os.strerror(errno.ENOSPC)
        raise OutputError(errno.ENOSPC, f"cannot write {_WHAT}: {text}", str(path))
