# SPDX-License-Identifier: Apache-2.0
"""Commands on both sides of every range and rule of `meadow.spec.ranges`: walks from one good
command to the next.

A step of a walk changes one field: it sets it to a limit, next to one, to a power of two or
anywhere, or turns a bit over. What is good then is where the walk goes on; what is not, is a
command to be refused that differs from a good one in one field. Between the two lie neighbours, one
good and one not, which are tried as well, and at the first such end of each field every bit turned
over.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from firmware.device import DeviceError
from hw_tests.mutation.chip import Chip, Trial
from hw_tests.mutation.fault_bench import FaultBench, run_program
from hw_tests.seeds import salted
from meadow.spec.commands import (
    CHECK_BYTES,
    COMMAND_BYTES,
    COMMON_FIELDS,
    Command,
    Flag,
    Opcode,
    Outputs,
    Unit,
    command_fields,
)
from meadow.spec.config import AcceleratorConfig
from meadow.spec.ranges import check_command, field_ranges
from meadow.spec.registers import ErrorCode
from meadow.spec.rules import command_rules

__all__ = ["Walk", "range_commands", "range_trials"]

_WALKS, _STEPS = 7, 50
_KIND_VALUES = 16
"""A field with so many legal values or less may be one that chooses a kind of command."""
_TOGETHER = 60
_FENCES = 5
_BODY = COMMAND_BYTES - CHECK_BYTES
_COMMON = {field.name for field in COMMON_FIELDS}


class _Named(dict[str, int]):
    """Remembers which fields a rule looks at."""

    def __init__(self, values: dict[str, int]) -> None:
        super().__init__(values)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> int:
        self.seen.add(name)
        return super().__getitem__(name)


class Walk:
    """A walk among the good commands of an opcode; `good` and `bad` are what it came across.

    No command of it has an effect where Outputs.ARGMAX alone is asked for, so good ones are passed
    over.
    """

    def __init__(
        self, random: np.random.Generator, config: AcceleratorConfig, opcode: Opcode
    ) -> None:
        self.random, self.config, self.opcode = random, config, opcode
        self.ranges = field_ranges(config, opcode)
        self.fields = [field for field in command_fields(opcode) if field.name != "opcode"]
        self.good: list[Command] = []
        self.bad: list[Command] = []
        self.limits: dict[str, tuple[int, int]] = {}
        self._turned: set[str] = (
            set()
        )  # fields that had all bits turned over at an end of what is good
        for field in self.fields:
            low = -(1 << (field.bits - 1)) if field.signed else 0
            self.limits[field.name] = (low, low + (1 << field.bits) - 1)
        least = {field.name: self.ranges.get(field.name, (0, 0))[0] for field in self.fields}
        self.values = {**least, "condition": int(Outputs.LOGITS)}
        if not self._is_good(self.values):
            raise ValueError(f"the least {opcode.name} is not legal")
        named = {name for name in self.ranges if name not in ("condition",)}
        for rule in command_rules(config, opcode):
            for _ in range(20):
                probe = _Named({name: int(random.integers(4)) for name in self.limits})
                rule.holds(probe)
                named |= probe.seen
        self.named = sorted(named)

    def command(self) -> Command:
        """Where the walk is."""
        return self._command(self.values)

    def _command(self, values: dict[str, int]) -> Command:
        own = {name: value for name, value in values.items() if name not in _COMMON}
        return Command(
            self.opcode,
            own,
            wait=Unit(values["wait"]),
            condition=Outputs(values["condition"]),
            flags=Flag(values["flags"]),
        )

    def _is_good(self, values: dict[str, int]) -> bool:
        try:
            check_command(self.config, self._command(values))
        except ValueError:
            return False
        return True

    def _value(self, name: str) -> int:
        random, (low, high), value = self.random, self.limits[name], self.values[name]
        least, most = self.ranges.get(name, (low, high))
        bit = 1 << int(random.integers(0, high.bit_length()))
        anywhere = low + int(random.integers(0, min(high - low, (1 << 62) - 1) + 1))
        inside = least + int(random.integers(0, min(most - least, (1 << 62) - 1) + 1))
        return int(
            random.choice(
                [least, most, least - 1, most + 1, value - 1, value + 1, value ^ bit, value ^ bit]
                + [bit, bit - 1, high, anywhere, inside, inside]
            )
        )

    def choose_kind(self) -> None:
        """Fields with few legal values take any of them, if that is good."""
        for name in self.named:
            least, most = self.ranges.get(name, self.limits[name])
            if most - least < _KIND_VALUES:
                value = int(self.random.integers(least, most + 1))
                if self._is_good({**self.values, name: value}):
                    self.values[name] = value

    def step(self) -> None:
        """Change a field, most often one that a range or a rule names."""
        names = self.named if self.random.random() < 0.85 else list(self.limits)
        name = names[int(self.random.integers(len(names)))]
        low, high = self.limits[name]
        value = self._value(name)
        if not low <= value <= high or name == "condition":
            return
        changed = {**self.values, name: value}
        if self._is_good(changed):
            self.values = changed
            self.good.append(self.command())
            return
        inner, outer = self.values[name], value
        while abs(outer - inner) > 1:
            middle = (inner + outer) // 2
            if self._is_good({**self.values, name: middle}):
                inner = middle
            else:
                outer = middle
        self.good.append(self._command({**self.values, name: inner}))
        self.bad += [self._command({**self.values, name: at}) for at in {outer, value}]
        if name not in self._turned:
            self._turned.add(name)
            self._turn_bits(name, inner)

    def turn_bits(self) -> None:
        """Every bit of the fields that a range or a rule names, turned over alone."""
        for name in self.named:
            self._turn_bits(name, self.values[name])

    def _turn_bits(self, name: str, value: int) -> None:
        low, high = self.limits[name]
        for bit in range((high - low).bit_length()):
            changed = {**self.values, name: (value - low ^ 1 << bit) + low}
            (self.good if self._is_good(changed) else self.bad).append(self._command(changed))


def _encoded(command: Command, random: np.random.Generator) -> bytes:
    """The command with noise in the bits that no field of it uses."""
    used = sum(field.bits for field in command_fields(command.opcode))
    word = int.from_bytes(command.encode()[:_BODY], "little")
    word |= int.from_bytes(random.bytes(_BODY), "little") >> used << used
    body = word.to_bytes(_BODY, "little")
    return body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little")


def _other_opcodes(config: AcceleratorConfig, random: np.random.Generator) -> Iterator[bytes]:
    """Bodies of good commands with an opcode that does not exist, a bit away from one that does."""
    for opcode in Opcode:
        for bit in range(8):
            number = int(opcode) ^ 1 << bit
            if number not in Opcode.__members__.values():
                walk = Walk(random, config, opcode)
                body = bytes([number]) + walk.command().encode()[1:_BODY]
                yield body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little")


def _run(bench: FaultBench, good: list[bytes], bad: list[tuple[bytes, int]], chip: Chip) -> None:
    """Good commands are passed over; each other one, after some FENCEs, is refused with its own
    number.
    """
    session = bench.open(chip)
    session.prepare({0: bench.tokens}, outputs=Outputs.ARGMAX)
    end, fence = Command(Opcode.END).encode(), Command(Opcode.FENCE).encode()
    for start in range(0, len(good), _TOGETHER):
        program = good[start : start + _TOGETHER]
        with chip.timed(f"good commands from {start}"):
            run_program(bench, session, [*program, end])
        chip.require("commands", session.registers.read("command_index"), len(program) + 1)
    for number, (command, index) in enumerate(bad):
        name = f"command {number} out of range"
        error = None
        with chip.timed(name):
            try:
                run_program(
                    bench, session, [*[fence] * index, command, *[fence] * (index % 3), end]
                )
            except DeviceError as found:
                error = (found.code.name, found.command)
        chip.require(name, error, (ErrorCode.ILLEGAL_COMMAND.name, index))
    bench.good_step(chip, session, "the step after commands out of range")


def range_commands(config: AcceleratorConfig, opcode: Opcode) -> tuple[list[bytes], list[bytes]]:
    """Good commands of an opcode, which are passed over, and those that must be refused."""
    random = np.random.default_rng(salted(int(opcode)))
    good: dict[bytes, None] = {}
    bad: dict[bytes, None] = {}
    for _ in range(_WALKS if field_ranges(config, opcode).keys() - _COMMON else 1):
        walk = Walk(random, config, opcode)
        walk.choose_kind()
        walk.turn_bits()
        for _ in range(_STEPS):
            walk.step()
        walk.turn_bits()
        good |= dict.fromkeys(_encoded(command, random) for command in walk.good)
        bad |= dict.fromkeys(_encoded(command, random) for command in walk.bad)
    return [*good], [*bad]


def range_trials(bench: FaultBench) -> list[Trial]:
    """A trial for each opcode, and one for opcodes that do not exist."""
    config, trials = bench.image.manifest.config, []
    for opcode in Opcode:
        good, bad = range_commands(config, opcode)
        random = np.random.default_rng(salted(100 + int(opcode)))
        wrong = [(command, int(random.integers(_FENCES))) for command in bad]
        trials.append(Trial(f"ranges of {opcode.name}", partial(_run, bench, good, wrong)))
    random = np.random.default_rng(salted(99))
    unknown = [(command, 1) for command in _other_opcodes(config, random)]
    return [*trials, Trial("unknown opcodes", partial(_run, bench, [], unknown))]
