# SPDX-License-Identifier: Apache-2.0
"""A step of the torture campaign: what is asked, what the program reaches, how it ended, and what
may be wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meadow.golden.machine.machine import Machine
from meadow.spec.commands import Command, Outputs
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.registers import ErrorCode, Status
from meadow.spec.step import Step

__all__ = [
    "Access",
    "Ended",
    "Failure",
    "Hang",
    "Plan",
    "Scene",
    "SilentError",
    "TracingMachine",
    "WrongResult",
]


class Failure(Exception):
    """The chip did what it must not; `key` counts it in the report."""

    key = ""


class Hang(Failure):
    """No interrupt, a reset that does not end, or a register that does not answer."""

    key = "hangs"


class WrongResult(Failure):
    """A step that must be right is not."""

    key = "wrong_results"


class SilentError(Failure):
    """A fault that was not reported or as another one, something published in spite of it, or bytes
    changed that are nobody's to change."""

    key = "silent_errors"


@dataclass(frozen=True)
class Access:
    """What a command reads or writes in one piece: bytes of the window."""

    command: int
    write: bool
    start: int
    size: int

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.start + self.size


@dataclass(frozen=True)
class Ended:
    """How a program ended: DONE or ERROR in `status`, the error registers, and cycles since the
    doorbell.
    """

    status: Status
    code: ErrorCode
    command: int
    address: int
    port: int
    cycles: int

    @property
    def done(self) -> bool:
        """Whether it ended without an error."""
        return Status.DONE in self.status


@dataclass(frozen=True)
class Plan:
    """A step: new tokens of some sequences, and what is asked for."""

    tokens: dict[int, list[int]]
    outputs: Outputs
    head_all: bool

    @property
    def rows(self) -> int:
        """Tokens of the chunk."""
        return sum(len(new) for new in self.tokens.values())


@dataclass(frozen=True, eq=False)
class Scene:
    """A prepared step: its registers, the window before, with marks wherever it stores, and the
    window after it as the golden machine leaves it, every access in the order of the program, and
    what is stored, (first byte, bytes), some of it over what was stored before."""

    plan: Plan
    step: Step
    before: np.ndarray
    after: np.ndarray
    accesses: tuple[Access, ...]
    stored: tuple[tuple[int, np.ndarray], ...]

    def strays(self, memory: np.ndarray, began: np.ndarray) -> np.ndarray:
        """Where a program that ended early left what is neither from before it nor stored by a
        right one.
        """
        wrong = memory != began
        for start, data in self.stored:
            place = slice(start, start + data.size)
            wrong[place] &= memory[place] != data
        return np.flatnonzero(wrong)

    @property
    def executed(self) -> tuple[int, ...]:
        """Commands that the step reads, END included."""
        return tuple(range(self.accesses[-1].command + 1))


class TracingMachine(Machine):
    """Remembers what each command reaches in the window."""

    def __init__(self, config: AcceleratorConfig, dram: np.ndarray) -> None:
        super().__init__(config, dram)
        self.accesses: list[Access] = []
        self.stored: list[tuple[int, np.ndarray]] = []
        self._command = -1

    def execute(self, command: Command, step: Step) -> None:
        first = len(self.accesses)
        super().execute(command, step)
        self.stored += [
            (access.start, self.dram[access.start : access.end].copy())
            for access in self.accesses[first:]
            if access.write
        ]

    def window(self, start_beats: int, size: int, what: str) -> np.ndarray:
        if what == "command read":  # several commands, each of which is fetched in its turn
            return super().window(start_beats, size, what)
        if what == "command fetch":
            self._command += 1
        start = start_beats * BEAT_BYTES
        self.accesses.append(Access(self._command, what == "STORE", start, size))
        return super().window(start_beats, size, what)
