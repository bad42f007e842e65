# SPDX-License-Identifier: Apache-2.0
"""The copy engine as a simulation library, built once per change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosim.library import DramSettings, Simulation
from cosim.verilator_build import build_library
from hw_tests.cosim.copy_engine import FAULTS, copy_engine_verilog
from hw_tests.seeds import salted

PORTS = 2
BASE = 0x1000_0000
MEMORY_BYTES = 1 << 20
DESTINATION = 0x8_0000


@pytest.fixture(scope="session")
def library() -> Path:
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    return build_library(copy_engine_verilog(ports=PORTS), ports=PORTS)


class Copier:
    """A simulation of the copy engine with random bytes in memory."""

    def __init__(self, library: Path, settings: DramSettings) -> None:
        generator = np.random.default_rng(salted(1))
        self.memory = generator.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
        self.simulation = Simulation(library, self.memory, base=BASE, settings=settings)

    def start(
        self, beats: int, *, source: int = 0, destination: int = DESTINATION, fault: str = "none"
    ) -> None:
        values = (
            (0, BASE + source),
            (4, BASE + destination),
            (8, beats),
            (0x1C, FAULTS.index(fault)),
        )
        for offset, value in (*values, (0xC, 1)):
            assert self.simulation.write(offset, value) == 0

    def copy(self, beats: int, **options: int | str) -> int:
        """Copy `beats` beats per port to the end; returns the engine's own count of cycles."""
        self.start(beats, **options)  # pyright: ignore[reportArgumentType]
        self.simulation.run(1_000_000, until_interrupt=True)
        assert self.simulation.interrupt
        cycles = self.simulation.read(0x18)[0]
        self.simulation.write(0xC, 2)
        return cycles

    @property
    def errors(self) -> int:
        return self.simulation.read(0x14)[0]


@pytest.fixture
def copier(library: Path) -> Callable[..., Copier]:
    """Copier(**fields of DramSettings); latency 8 and a salted seed unless told otherwise."""

    def make(**settings: object) -> Copier:
        chosen = {"latency_cycles": 8, "seed": salted(0), **settings}
        return Copier(library, DramSettings(**chosen))  # pyright: ignore[reportArgumentType]

    return make
