# SPDX-License-Identifier: Apache-2.0
"""The chip with one mutant switched on, behind the project's own driver."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.session import Session
from hw_tests.mutation.mutant import MUTANT_VARIABLE
from meadow.model.image import Image
from meadow.spec.config import AcceleratorConfig

__all__ = ["Chip", "Killed", "Reference", "Trial", "sparse"]

_FIRST_LIMIT_CYCLES = 2_000_000
_LEAST_LIMIT_CYCLES = 3_000
_MAP_NORESERVE = 0x4000
"""Of Linux; Python's mmap does not name it."""


class Killed(AssertionError):
    """The chip did something that the design does not do; the message says what."""


@dataclass
class Reference:
    """What a chip did in a trial: cycles of each run, and other facts that a mutant must not
    change.
    """

    cycles: list[tuple[str, int]] = field(default_factory=list)
    facts: list[tuple[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """A part of the battery: a name, and what to do with a chip, which raises if the chip is wrong.

    It begins with `Chip.open`, so it does not depend on what was tried before.
    """

    name: str
    run: Callable[[Chip], None]


class Chip:
    """A simulation with the mutant `number` (0: none); see `netlist.mutated_verilog` for `verilog`.

    references: of the unmutated design, by the names of the trials; every run may take twice its
    cycles, and every fact must be the same. Without them `seen` becomes them. Cycles are compared
    by `compare_cycles` only.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        verilog: str,
        number: int = 0,
        references: Mapping[str, Reference] | None = None,
    ) -> None:
        os.environ[MUTANT_VARIABLE] = str(number)
        self.config = config
        self._references = references
        self.seen: dict[str, Reference] = {}
        self._now = Reference()
        self._reference: Reference | None = None
        self.device = CosimDevice(config, 1, verilog=verilog)

    def begin(self, trial: str) -> None:
        """Another trial."""
        self._now = self.seen[trial] = Reference()
        self._reference = None if self._references is None else self._references[trial]

    def open(
        self,
        memory: np.ndarray,
        *,
        settings: DramSettings,
        base: int = 0x1000_0000,
    ) -> None:
        """The chip out of reset with another DRAM: `memory` itself, from byte address `base` on."""
        device = self.device
        simulation = device.simulation
        device.memory = simulation.memory = memory
        device.memory_base = simulation.base = base
        simulation.settings = settings
        simulation.configure()
        simulation.reset()

    def session(self, image: Image, sequences: int = 1) -> Session:
        """A session on the memory of `open`."""
        return Session(self.device, image, sequences=sequences)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """A run of the chip: limited and counted."""
        index, simulation = len(self._now.cycles), self.device.simulation
        limit = _FIRST_LIMIT_CYCLES
        if self._reference is not None:
            limit = max(_LEAST_LIMIT_CYCLES, 2 * self._reference.cycles[index][1])
        self.device.timeout_cycles = limit
        first = simulation.cycle
        yield
        simulation.check_protocol()
        self._now.cycles.append((name, simulation.cycle - first))

    def same(self, name: str, value: Any) -> None:
        """A fact that must be that of the reference."""
        index = len(self._now.facts)
        self._now.facts.append((name, value))
        if self._reference is not None and self._reference.facts[index] != (name, value):
            raise Killed(f"{name} is {value}, in the design {self._reference.facts[index][1]}")

    def require(self, name: str, seen: object, expected: object) -> None:
        """Killed unless both are equal."""
        if seen != expected:
            raise Killed(f"{name} is {seen}, not {expected}")

    def require_memory(self, name: str, seen: np.ndarray, expected: np.ndarray) -> None:
        """Killed with the first byte that differs."""
        if not np.array_equal(seen, expected):
            wrong = np.flatnonzero(seen != expected)
            raise Killed(f"{name}: {wrong.size} bytes differ, the first at {int(wrong[0]):#x}")

    def require_traffic(self, counters: Mapping[str, int], moved: int) -> None:
        """The classes of the byte counters together are what the memory saw."""
        total = sum(count for name, count in counters.items() if name.startswith("bytes_"))
        self.require("sum of the byte counters", total, moved)

    @property
    def moved(self) -> int:
        """Bytes that the memory has read or written."""
        counters = self.device.simulation.counters
        return sum(port.bytes_read + port.bytes_written for port in counters)

    def compare_cycles(self) -> None:
        """Killed if a run took other cycles than in the design."""
        assert self._references is not None
        for trial, seen in self.seen.items():
            expected = self._references[trial].cycles
            for (name, cycles), (_, design) in zip(seen.cycles, expected, strict=True):
                if cycles != design:
                    raise Killed(f"{name} took {cycles} cycles, in the design {design}")

    def close(self) -> None:
        """End the simulation; ProtocolError if violations were not reported yet."""
        self.device.close()


def sparse(size: int) -> np.ndarray:
    """Zeros, uint8 [size], of which only pages that are touched cost memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    return np.frombuffer(mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, flags), np.uint8)
