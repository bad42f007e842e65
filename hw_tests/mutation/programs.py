# SPDX-License-Identifier: Apache-2.0
"""A short program on a window of its own: what the golden machine leaves there is what the chip
must leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cosim.library import DramSettings
from firmware.device import Device, DeviceError
from firmware.golden_device import GoldenDevice
from firmware.registers import Registers
from hw_tests.mutation.chip import Chip, Trial, sparse
from hw_tests.mutation.steps import noise
from meadow.golden.machine.machine import Machine
from meadow.spec.commands import Command, Flag, Opcode, RowSet, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.step import Step

__all__ = ["DATA_BEATS", "FAR_BEATS", "Program", "program_trial", "some"]

_FILL_BEATS = 1 << 13
_DUMP_BEATS = 1 << 14
DATA_BEATS = 1 << 16
"""Below it lie the program, what fills the activation memory, and what is in that at the end."""
FAR_BEATS = (1 << 32) - 256
_NEAR_BEATS = 1 << 20
_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Program:
    """Commands between a LOAD of all of the activation memory and a STORE of it.

    beats: of the window, which is full of noise, or of zeros if it is too large for that. content:
    (first beat, bytes) of what is there instead. watched: (first beat, beats) of what may change,
    of a window that is too large to compare.
    may_fail: it may end with an error. fills, dumps: with the LOAD, with the STORE.
    """

    name: str
    step: Step
    commands: Sequence[Command]
    beats: int = DATA_BEATS
    content: Sequence[tuple[int, bytes]] = ()
    watched: Sequence[tuple[int, int]] = ()
    settings: DramSettings = DramSettings(latency_cycles=12)
    base: int = 0x1000_0000
    seed: int = 1
    may_fail: bool = False
    fills: bool = True
    dumps: bool = True

    @property
    def far(self) -> bool:
        return self.beats > _NEAR_BEATS

    def all_commands(self, config: AcceleratorConfig) -> list[Command]:
        """With the first and the last ones."""
        words = config.activation_words // _ROWS
        common = {"row_set": RowSet.FIXED, "rows": _ROWS, "traffic": TrafficClass.ACTIVATIONS}
        size = words * config.word_beats
        fill = {"destination_stride": words, "row_beats": size, "offset": _FILL_BEATS}
        dump = {"source_stride": words, "segments": 1, "segment_beats": size, "offset": _DUMP_BEATS}
        return [
            *([Command(Opcode.LOAD, fill | common, flags=Flag.HOLD_FETCH)] if self.fills else []),
            *self.commands,
            *([Command(Opcode.STORE, dump | common)] if self.dumps else []),
            Command(Opcode.END),
        ]

    def memory(self, config: AcceleratorConfig) -> np.ndarray:
        """The window before the program runs."""
        memory = (
            sparse(self.beats * BEAT_BYTES)
            if self.far
            else noise(self.beats * BEAT_BYTES, self.seed)
        )
        program = b"".join(command.encode() for command in self.all_commands(config))
        low = noise(DATA_BEATS * BEAT_BYTES, self.seed).tobytes()
        for beat, data in ((0, low), *self.content, (0, program)):
            start = beat * BEAT_BYTES
            memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
        return memory

    def seen(self, memory: np.ndarray) -> np.ndarray:
        """What is compared."""
        if not self.far:
            return memory
        places = ((0, DATA_BEATS), *self.watched)
        return np.concatenate(
            [memory[beat * BEAT_BYTES : (beat + size) * BEAT_BYTES] for beat, size in places]
        )

    def run(self, device: Device, config: AcceleratorConfig) -> tuple[str, int] | None:
        """Run it on a device with `memory`; name and command of the error."""
        registers = Registers(device, config)
        registers.set_window()
        registers.set_step(self.step)
        try:
            registers.run_program(0, len(self.all_commands(config)))
        except DeviceError as error:
            return error.code.name, error.command
        return None


@dataclass(frozen=True)
class _Expected:
    memory: np.ndarray
    error: tuple[str, int] | None
    traffic: dict[str, int]


def _bytes_counters(registers: Registers) -> dict[str, int]:
    return {name: n for name, n in registers.counters().items() if name.startswith("bytes_")}


def _expect(program: Program, config: AcceleratorConfig) -> _Expected:
    device = GoldenDevice(config, BEAT_BYTES, memory_base=program.base)
    device.memory = program.memory(config)
    device.machine = Machine(config, device.memory)
    error = program.run(device, config)
    return _Expected(
        program.seen(device.memory).copy(), error, _bytes_counters(Registers(device, config))
    )


def _run(program: Program, expected: _Expected, chip: Chip) -> None:
    memory = program.memory(chip.config)
    chip.open(memory, settings=program.settings, base=program.base)
    before = chip.moved
    with chip.timed(program.name):
        error = program.run(chip.device, chip.config)
    if expected.error is not None:
        # The golden machine checks more of a stream than the chip.
        chip.same(f"{program.name}: error", error)
        return
    chip.require(f"{program.name}: error", error, None)
    chip.require_memory(program.name, program.seen(memory), expected.memory)
    traffic = _bytes_counters(Registers(chip.device, chip.config))
    chip.require_traffic(traffic, chip.moved - before)
    chip.require(f"{program.name}: bytes", traffic, expected.traffic)


def program_trial(config: AcceleratorConfig, *programs: Program) -> Trial:
    """The programs one after the other, each on a chip out of reset."""
    expected = [_expect(program, config) for program in programs]
    for program, one in zip(programs, expected, strict=True):
        if one.error is not None and not program.may_fail:
            raise ValueError(f"{program.name} fails on the golden machine: {one.error}")
    runs = [partial(_run, *pair) for pair in zip(programs, expected, strict=True)]

    def run(chip: Chip) -> None:
        for one in runs:
            one(chip)

    return Trial(programs[0].name, run)


def some(random: np.random.Generator, most: int, least: int = 1) -> int:
    """A number whose length in bits is random, at times the largest or a power of two, least <=
    number <= most.
    """
    if random.random() < 0.15:
        return most
    bits = int(random.integers(0, most.bit_length() + 1))
    number = 1 << bits if random.random() < 0.3 else int(random.integers(0, 1 << bits))
    return min(most, max(least, number))
