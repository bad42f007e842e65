# SPDX-License-Identifier: Apache-2.0
"""Edges of the window wherever it is, caches longer than the window, and errors of commands far
down a program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.registers import Registers
from hw_tests.mutation.chip import Chip, Trial, sparse
from hw_tests.mutation.programs import some
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, RowSet, Space, TrafficClass, VectorFunction
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.registers import SEQUENCE_FIELDS, ErrorCode
from meadow.spec.step import Sequence, Step

__all__ = ["edge_trials"]

_PAGE_BEATS = 4096 // BEAT_BYTES
_ONE = Step((Sequence(0, 0, 1),))
_WINDOWS = 40
_CACHES = 100
_ROWS = 12
_INDEXES = (0x0AAA, 0x1555)
"""Of commands that are wrong; every bit is 0 in one and 1 in the other."""
_LENGTHS = (0x0AAA, 0x1555)
_PROGRAM_ROOM = 1 << 16
_SETTINGS = DramSettings(latency_cycles=3)


def _row(opcode: Opcode, place: int, beats: int) -> Command:
    """LOAD or STORE of one row of so many beats."""
    common = {"row_set": RowSet.FIXED, "rows": 1, "traffic": TrafficClass.ACTIVATIONS}
    if opcode == Opcode.LOAD:
        return Command(opcode, {**common, "offset": place, "row_beats": beats})
    store = {"offset": place, "segments": 1, "segment_beats": beats}
    return Command(opcode, {**common, **store})


def _start(chip: Chip, memory: np.ndarray, base: int, beats: int) -> Registers:
    """The chip with a window of so many beats, which need not be those of the memory."""
    chip.open(memory, settings=_SETTINGS, base=base)
    registers = Registers(chip.device, chip.config)
    registers.write_wide("window_base", base)
    registers.write("window_beats", beats)
    registers.set_step(_ONE)
    return registers


def _play(
    chip: Chip, registers: Registers, name: str, place: int, commands: list[Command]
) -> tuple[str, int, int] | None:
    """Run commands from a beat of the window on; name, command and address of the error."""
    data = b"".join(command.encode() for command in commands)
    memory = chip.device.memory
    memory[place * BEAT_BYTES : place * BEAT_BYTES + len(data)] = np.frombuffer(data, np.uint8)
    with chip.timed(name):
        try:
            registers.run_program(place, len(commands))
        except DeviceError as error:
            return error.code.name, error.command, error.address
    return None


def _run_windows(chip: Chip) -> None:
    """A row that ends with the window is moved, one that ends behind it is refused, in windows of
    all sizes and places.

    Half of the windows end with the address space, also where their size says more.
    """
    random = np.random.default_rng(salted(21))
    address_bits = chip.config.address_bits
    for number in range(_WINDOWS):
        pages = some(random, (1 << 24) - 1)
        beats = pages * _PAGE_BEATS
        memory = sparse(beats * BEAT_BYTES)
        at_end = number % 2 == 0
        if at_end:
            base = (1 << address_bits) - memory.size
            said = min((1 << 32) - 1, beats + some(random, (1 << 32) - 1, 0))
        else:
            base = 4096 * some(random, (1 << (address_bits - 12)) - pages - 1)
            beats = said = beats - int(random.integers(0, _PAGE_BEATS // 2))
        registers = _start(chip, memory, base, said)
        for opcode in (Opcode.LOAD, Opcode.STORE):
            size = min(some(random, 200), beats - 64)
            more = some(random, min(200, (1 << 32) - beats) - 1) if beats + 200 < 1 << 32 else 1
            name = f"{opcode.name} at the end of window {number}"
            commands = [_row(opcode, beats - size, size), Command(Opcode.END)]
            chip.require(name, _play(chip, registers, name, 0, commands), None)
            first = beats - size + more
            name = f"{opcode.name} beyond the end of window {number}"
            commands = [_row(opcode, first, size), Command(Opcode.END)]
            address = (base + first * BEAT_BYTES) % (1 << address_bits)
            error = (ErrorCode.WINDOW.name, 0, address)
            chip.require(name, _play(chip, registers, name, 0, commands), error)


def _run_programs(chip: Chip) -> None:
    """Programs at places of all lengths in bits."""
    random = np.random.default_rng(salted(22))
    memory = sparse(((1 << 32) - _PAGE_BEATS) * BEAT_BYTES)
    registers = _start(chip, memory, 0x33_3333_3000, memory.size // BEAT_BYTES)
    for number in range(24):
        place = some(random, memory.size // BEAT_BYTES - 64, 0)
        program = [Command(Opcode.FENCE)] * 5 + [Command(Opcode.END)]
        name = f"program at beat {place:#x}"
        chip.require(name, _play(chip, registers, name, place, program), None)
        chip.require(name, registers.read("command_index"), len(program))
        # Behind 2^32 beats nothing is.
        name = f"program {number} beyond the end"
        first = (1 << 32) - 1 - int(random.integers(0, _PAGE_BEATS // 2))
        with chip.timed(name):
            try:
                registers.run_program(first, 100)
                error = None
            except DeviceError as found:
                error = found.code.name
        chip.require(name, error, ErrorCode.WINDOW.name)


def _run_caches(chip: Chip) -> None:
    """ATTENDs and cache STOREs of a cache of any length: they leave the window where they do in the
    design.
    """
    random = np.random.default_rng(salted(23))
    for number in range(_CACHES):
        beats = _PAGE_BEATS * some(random, 8)
        memory = sparse(beats * BEAT_BYTES)
        registers = _start(chip, memory, 0x7000_0000, beats)
        rows = some(random, _ROWS)
        count = min(rows, int(random.integers(1, chip.config.sequences + 1)))
        registers.write("rows", rows)
        registers.write("sequences", count)
        long = int(random.integers(count))
        for index in range(count):
            tokens = rows - count + 1 if index == 0 else 1
            first_row = 0 if index == 0 else rows - count + index
            position = some(random, (1 << 20) - 1 if index == long else 4, 0)
            entry = Sequence(some(random, beats // 4, 0), position, tokens, first_row)
            for name, _, _ in SEQUENCE_FIELDS:
                registers.write(f"sequence{index}_{name}", getattr(entry, name))
        registers.set_watchdog(300)
        attend = {
            "blocks": int(random.integers(1, 5)),
            "segment_beats": 1,
            "key_offset": some(random, beats // 8, 0),
            "value_offset": some(random, beats // 8, 0),
            "block_stride": some(random, beats // 16, 0),
            "score_shift": 1,
            "heads": 1,
            "causal": 1,
        }
        store = {
            "segments": some(random, 40),
            "segment_beats": some(random, 15),
            "segment_stride": some(random, beats // 16, 0),
            "offset": some(random, beats // 4, 0),
            "row_set": RowSet.CHUNK,
            "cache": 1,
        }
        for opcode, values in ((Opcode.ATTEND, attend), (Opcode.STORE, store)):
            name = f"{opcode.name} with long caches {number}"
            commands = [Command(opcode, values), Command(Opcode.END)]
            chip.same(name, _play(chip, registers, name, 0, commands))


@dataclass(frozen=True)
class _Wrong:
    """A command that ends a program, and how."""

    name: str
    code: ErrorCode
    command: Command
    prepare: Callable[[Chip], None] = lambda chip: None
    damage: int = 0


def _wrong_commands(config: AcceleratorConfig, place: int) -> list[_Wrong]:
    """One of every unit and every error; `place` is a beat of the window that is free."""
    words = config.activation_words
    least_attend = {"blocks": 1, "segment_beats": 1, "score_shift": 1, "heads": 1}
    chunk = {"row_set": RowSet.CHUNK}
    norm = {"words": 2, "channels": 1, "epsilon": 1, "mean_shift": 1, "output_shift": 1, **chunk}
    argmax = {"function": VectorFunction.ARGMAX, "destination": words, **chunk}
    matmul = {"tiles": 1, "slices": 1, **chunk, "offset0": place, "beats0": 2}

    def at_bus(chip: Chip) -> None:
        address = chip.device.memory_base + place * BEAT_BYTES
        chip.device.simulation.configure(error_address=address)

    load, store = _row(Opcode.LOAD, place, 1), _row(Opcode.STORE, place, 1)
    far = (1 << 32) - 9
    return [
        _Wrong(
            "space", ErrorCode.ILLEGAL_COMMAND, Command(Opcode.LOAD, {"row_beats": 1, "space": 3})
        ),
        _Wrong("check", ErrorCode.COMMAND_CHECK, load, damage=1),
        _Wrong("load window", ErrorCode.WINDOW, _row(Opcode.LOAD, far, 1)),
        _Wrong("store window", ErrorCode.WINDOW, _row(Opcode.STORE, far, 1)),
        _Wrong(
            "attend window",
            ErrorCode.WINDOW,
            Command(Opcode.ATTEND, {**least_attend, "key_offset": far}),
        ),
        _Wrong("load bus", ErrorCode.READ_RESPONSE, load, at_bus),
        _Wrong("store bus", ErrorCode.WRITE_RESPONSE, store, at_bus),
        _Wrong("stream", ErrorCode.STREAM, Command(Opcode.MATMUL, matmul)),
        _Wrong(
            "loader",
            ErrorCode.ACTIVATION,
            Command(Opcode.LOAD, {**load.values, "destination": words, "space": Space.ACTIVATION}),
        ),
        _Wrong(
            "storer", ErrorCode.ACTIVATION, Command(Opcode.STORE, {**store.values, "source": words})
        ),
        _Wrong("norm", ErrorCode.ACTIVATION, Command(Opcode.NORM, {**norm, "source": words})),
        _Wrong("arg-max", ErrorCode.ACTIVATION, Command(Opcode.VECTOR, argmax)),
        _Wrong(
            "attend", ErrorCode.ACTIVATION, Command(Opcode.ATTEND, {**least_attend, "query": words})
        ),
    ]


def _run_indexes(chip: Chip) -> None:
    """Errors name their command, also behind many others."""
    fence, end = Command(Opcode.FENCE).encode(), Command(Opcode.END).encode()
    beats = 2 * _PROGRAM_ROOM
    for wrong in _wrong_commands(chip.config, _PROGRAM_ROOM):
        for index in _INDEXES:
            memory = np.zeros(beats * BEAT_BYTES, np.uint8)
            registers = _start(chip, memory, 0x1000_0000, beats)
            wrong.prepare(chip)
            code = bytearray(wrong.command.encode())
            code[-1] ^= wrong.damage
            program = fence * index + bytes(code) + fence * (index % 4) + end
            memory[: len(program)] = np.frombuffer(program, np.uint8)
            name = f"{wrong.name} as command {index}"
            error = None
            with chip.timed(name):
                try:
                    registers.run_program(0, len(program) // len(fence))
                except DeviceError as found:
                    error = found.code.name, found.command
            chip.require(name, error, (wrong.code.name, index))


def _run_lengths(chip: Chip) -> None:
    """Long programs that end by their length; the commands behind it would be errors."""
    fence = Command(Opcode.FENCE).encode()
    for length in _LENGTHS:
        program = fence * length + bytes(4 * len(fence))
        memory = np.zeros(_PROGRAM_ROOM * BEAT_BYTES, np.uint8)
        registers = _start(chip, memory, 0x1000_0000, _PROGRAM_ROOM)
        memory[: len(program)] = np.frombuffer(program, np.uint8)
        name = f"{length} commands"
        with chip.timed(name):
            registers.run_program(0, length)
        chip.require(name, registers.read("command_index"), length)


def edge_trials() -> list[Trial]:
    """Windows, programs and caches; errors far down a program."""
    return [
        Trial("edges of windows", _run_windows),
        Trial("places of programs", _run_programs),
        Trial("long caches", _run_caches),
        Trial("long programs", _run_lengths),
        Trial("errors of late commands", _run_indexes),
    ]
