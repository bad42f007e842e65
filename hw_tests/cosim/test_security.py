# SPDX-License-Identifier: Apache-2.0
"""Whatever a program says, the chip reads and writes nothing outside its DMA window.

The window lies in the middle of memory that is answered like the window itself, so only the chip
keeps accesses out of it; the bus is watched too, since reads leave no trace in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cosim.bursts import outside
from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.registers import Registers
from hw_tests.cosim.chip_bench import WATCHDOG, WatchedDevice
from hw_tests.cosim.hostile_program import (
    DATA,
    SCRATCH,
    STREAMS,
    WINDOW_BEATS,
    Access,
    accesses,
    streams,
)
from hw_tests.seeds import salted
from meadow.spec.commands import COMMAND_BYTES, Command, Opcode, RowSet
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Sequence, Step

pytestmark = pytest.mark.sim

GUARD_BYTES = 1 << 16
COMMAND_BEATS = COMMAND_BYTES // BEAT_BYTES
TOP = (1 << 40) - GUARD_BYTES - WINDOW_BEATS * BEAT_BYTES
"""Window base below which a guard, and above which the other one to the end of a 40-bit address
space.
"""
CHIPS = {"tiny": ("tiny", 0x1000_0000), "tiny_top": ("tiny", TOP), "small": ("small", 0x9000_3000)}
ACCESSES = [
    (chip, access.name)
    for chip, (name, _) in CHIPS.items()
    for access in accesses(named_config(name))
]
PLACES = {
    "behind the end": lambda beats: WINDOW_BEATS,
    "over the end": lambda beats: WINDOW_BEATS - beats + 1,
    "in the guard": lambda beats: WINDOW_BEATS + 1000,
    "behind the guard": lambda beats: WINDOW_BEATS + GUARD_BYTES // BEAT_BYTES,
    "far": lambda beats: 1 << 27,
    "farther": lambda beats: 1 << 31,
    "at the end of 32 bits": lambda beats: (1 << 32) - beats,
    "over 32 bits": lambda beats: (1 << 32) - beats + 1,
    "behind 32 bits": lambda beats: (1 << 32) + DATA,
}
_ONE = Step((Sequence(SCRATCH, 0, 4),))


class Target:
    """A chip with its window full of noise, and what a program may touch there."""

    def __init__(self, device: WatchedDevice, config_name: str) -> None:
        self.config = named_config(config_name)
        self.device, self.registers = device, Registers(device, self.config)
        random = np.random.default_rng(salted(3))
        self.device.memory[:] = random.integers(0, 256, device.memory.size)
        for guard in device.guards:
            guard[:] = random.integers(0, 256, guard.size)
        self.guards = [guard.copy() for guard in device.guards]
        self.put(STREAMS, b"".join(streams(self.config)))
        self.registers.set_window()
        self.registers.set_watchdog(WATCHDOG)
        device.simulation.record_bursts()

    def put(self, place: int, data: bytes) -> None:
        """Bytes at a beat of the window."""
        start = place * BEAT_BYTES
        self.device.memory[start : start + len(data)] = np.frombuffer(data, np.uint8)

    def run(self, commands: list[bytes], step: Step, *, place: int = 0) -> None:
        """Run a program; DeviceError."""
        self.put(place, b"".join(commands))
        self.registers.set_step(step)
        self.registers.run_program(place, len(commands))

    def refused(self, commands: list[bytes], step: Step, index: int) -> DeviceError:
        """The error WINDOW that a program ends with, because of this command."""
        with pytest.raises(DeviceError) as caught:
            self.run(commands, step)
        error = caught.value
        assert (error.code, error.command) == (ErrorCode.WINDOW, index), str(error)
        return error

    def take_bursts(self) -> np.ndarray:
        """Bursts since the last call: none of them, and nothing in memory, is outside the
        window.
        """
        device = self.device
        bursts = device.simulation.take_bursts()
        assert not len(outside(bursts, device.memory_base, device.memory.size))
        assert all(np.array_equal(*pair) for pair in zip(device.guards, self.guards, strict=True))
        return bursts

    def check_good_program(self) -> None:
        """The next program runs, and right: rows of the window through the activation memory."""
        beats = self.config.word_beats
        rows = dict(row_set=RowSet.FIXED, rows=8)
        load = dict(offset=STREAMS, destination=40, destination_stride=1, row_beats=beats) | rows
        store = dict(offset=SCRATCH, source=40, source_stride=1, segments=1, segment_beats=beats)
        program = (Command(Opcode.LOAD, load), Command(Opcode.STORE, store | rows), _END)
        memory, size = self.device.memory, 8 * beats * BEAT_BYTES
        source, target = (memory[place * BEAT_BYTES :][:size] for place in (STREAMS, SCRATCH))
        target[:] = 0
        self.run([command.encode() for command in program], _ONE)
        assert np.array_equal(source, target)
        self.take_bursts()


_END = Command(Opcode.END)
_FENCE = Command(Opcode.FENCE)


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    made: dict[str, Target] = {}

    class Targets(dict[str, Target]):
        def __missing__(self, chip: str) -> Target:
            name, base = CHIPS[chip]
            device = WatchedDevice(
                named_config(name),
                WINDOW_BEATS * BEAT_BYTES,
                memory_base=base,
                guard_bytes=GUARD_BYTES,
                settings=DramSettings(stalls=30, seed=salted(5)),
                timeout_cycles=1_000_000,
                silence_cycles=200_000,
            )
            self[chip] = Target(device, name)
            return self[chip]

    made = Targets()
    yield made
    for target in made.values():
        target.device.close()


def find(target: Target, name: str) -> Access:
    return next(access for access in accesses(target.config) if access.name == name)


@pytest.mark.parametrize(("chip", "name"), ACCESSES, ids=lambda value: str(value))
def test_no_command_leaves_the_window(targets: dict[str, Target], chip: str, name: str) -> None:
    target = targets[chip]
    device, access = target.device, find(target, name)
    tried = 0
    for where, place_of in PLACES.items():
        place = place_of(access.beats)
        try:
            command, step = access.command(place)
        except ValueError:
            continue  # no field has so many bits
        tried += 1
        before = device.memory.copy()
        program = [_FENCE.encode(), command, _END.encode()]
        error = target.refused(program, step, 1)
        bursts = target.take_bursts()
        reads = access.opcode != Opcode.STORE
        assert not (reads and bursts["write"].any()), where
        assert 0 <= error.port < target.config.ports
        if target.config.ports == 1 and place < 1 << 32:
            address = device.memory_base + place * BEAT_BYTES
            assert error.address == address % (1 << target.config.address_bits), where
        # A part of a STORE that lies in the window, of another port or segment, may have been
        # written.
        changed = np.flatnonzero(device.memory != before) // BEAT_BYTES
        spans = [(0, len(program) * COMMAND_BEATS)]
        if not reads:
            spans += [(first, first + access.beats) for first in (place, *access.allowed)]
        inside = [(first <= changed) & (changed < end) for first, end in spans]
        assert np.logical_or.reduce(inside).all(), where
        target.check_good_program()
    assert tried >= 4


@pytest.mark.parametrize(("chip", "name"), ACCESSES, ids=lambda value: str(value))
def test_the_same_command_at_the_end_of_the_window_runs(
    targets: dict[str, Target], chip: str, name: str
) -> None:
    """Otherwise the test above could be about anything."""
    target = targets[chip]
    access = find(target, name)
    place = WINDOW_BEATS - access.beats
    target.put(place, access.content)
    command, step = access.command(place)
    target.run([_FENCE.encode(), command, _END.encode()], step)
    bursts = target.take_bursts()
    last = (bursts["address"] + bursts["beats"] * BEAT_BYTES).max()
    assert last == target.device.memory_base + target.device.memory.size


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("length", [1, 4, 5])
def test_no_program_is_read_from_outside(
    targets: dict[str, Target], chip: str, length: int
) -> None:
    """Commands are read four at a time; an error names the first of those that were to be read."""
    target = targets[chip]
    fences = _FENCE.encode() * 5
    for place in (
        *(WINDOW_BEATS, WINDOW_BEATS + 1000, 1 << 27, (1 << 32) - 4 * length, (1 << 32) - 1),
        WINDOW_BEATS - COMMAND_BEATS * length + 1,
    ):
        if place < WINDOW_BEATS:
            target.put(place, fences[: (WINDOW_BEATS - place) * BEAT_BYTES])
        target.registers.set_step(_ONE)
        with pytest.raises(DeviceError) as caught:
            target.registers.run_program(place, length)
        first = 4 if length == 5 and place < WINDOW_BEATS else 0
        assert (caught.value.code, caught.value.command) == (ErrorCode.WINDOW, first)
        assert not target.take_bursts()["write"].any()
        target.check_good_program()


@pytest.mark.parametrize("chip", CHIPS)
def test_the_other_commands_touch_no_memory(targets: dict[str, Target], chip: str) -> None:
    target = targets[chip]
    one = dict(row_set=RowSet.FIXED, rows=1)
    norm = dict(words=2, channels=target.config.width, epsilon=1, mean_shift=1, output_shift=1)
    for command in (
        Command(Opcode.NORM, norm | one | dict(destination=9)),
        Command(Opcode.NORM, norm | one | dict(residual=1, residual_shift=3)),
        Command(Opcode.SOFTMAX, dict(rows=2, keys=9, causal=1, source_stride=40)),
        Command(Opcode.VECTOR, one | dict(destination=7)),
        _FENCE,
        _END,
    ):
        program = [command.encode(), _FENCE.encode(), _END.encode()]
        before = target.device.memory.copy()
        target.run(program, _ONE)
        before[: len(b"".join(program))] = np.frombuffer(b"".join(program), np.uint8)
        assert np.array_equal(target.device.memory, before)
        bursts = target.take_bursts()
        assert len(bursts) and not bursts["write"].any()
        size = len(program) * COMMAND_BYTES
        assert not len(outside(bursts, target.device.memory_base, size))
