# SPDX-License-Identifier: Apache-2.0
"""How fast the memory ports of zcu102 read, to the cycle: alone, four at once, throttled, and
behind refresh and page misses.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.dram_presets import DRAM_PRESETS
from cosim.library import DramSettings, Simulation
from cosim.native import DramCounters
from cosim.verilator_build import build_library
from hw_tests.rtl_gen.dma.read_bench import PORT_REGISTERS, read_bench_verilog
from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS

pytestmark = pytest.mark.slow

CONFIG = CONFIGURATIONS["zcu102"]
PORTS = CONFIG.ports
BASE = 0x1000_0000
FIRST = 3
"""Bursts do not begin at multiples of their length, so that some are cut at 4 KiB."""
STRIDE = 16384 + 4 * 512
"""Beats from port to port: the rows of 512 beats that the ports read at a time are four banks
apart.
"""
CLOCK_MHZ = 250
START_CYCLES = 12
"""From the start of the bench to the first beat at the consumer, beside the memory's latency."""


@dataclass(frozen=True)
class Reading:
    """What a run took: cycles of first and last beat of each port, beats of all, the memory's
    counters.
    """

    spans: list[tuple[int, int]]
    beats: int
    dram: DramCounters

    @property
    def cycles(self) -> int:
        """From the first beat of any port to the last of any."""
        return max(last for _, last in self.spans) - min(first for first, _ in self.spans) + 1

    @property
    def rate(self) -> Fraction:
        """Beats per cycle of all ports together."""
        return Fraction(self.beats, self.cycles)


@pytest.fixture(scope="module")
def library() -> Path:
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    return build_library(read_bench_verilog(CONFIG, base=BASE), ports=PORTS)


@pytest.fixture(scope="module")
def memory() -> np.ndarray:
    return np.random.default_rng(salted(1)).integers(0, 256, 1 << 21, dtype=np.uint8)


@pytest.fixture
def read(library: Path, memory: np.ndarray) -> Callable[..., Reading]:
    """read(length, count, **options, **fields of DramSettings): every beat is checked by the sum of
    all.
    """

    def run(
        length: int, count: int, *, ports: int = PORTS, stride: int = STRIDE, **settings: object
    ) -> Reading:
        chosen = DramSettings(**settings)  # pyright: ignore[reportArgumentType]
        spans = []
        with Simulation(library, memory, base=BASE, settings=chosen) as simulation:
            for index, value in enumerate((FIRST, stride, length, count, (1 << ports) - 1, 1)):
                assert simulation.write(4 * index, value) == 0
            simulation.run(1_000_000, until_interrupt=True)
            assert simulation.interrupt
            dram = simulation.dram_counters
            for port in range(ports):
                seen = {
                    name: simulation.read(0x40 + 0x20 * port + 4 * index)[0]
                    for index, name in enumerate(PORT_REGISTERS)
                }
                start = 16 * (FIRST + port * stride)
                words = memory[start : start + 16 * length * count].view("<u4")
                assert seen["sum"] == int(words.sum(dtype=np.uint64)) % (1 << 32)
                assert (seen["beats"], seen["faults"]) == (length * count, 0)
                spans.append((seen["first"], seen["last"]))
        return Reading(spans, ports * length * count, dram)

    return run


@pytest.mark.parametrize("latency", [32, 64])
@pytest.mark.parametrize("length", [8, 9, 16, 63, 64, 1000])
@pytest.mark.parametrize("ports", [1, PORTS])
def test_every_port_takes_a_beat_in_every_cycle(
    read: Callable[..., Reading], latency: int, length: int, ports: int
) -> None:
    """From the first beat on, without a single gap: a rate of 1 where 0.99 is asked for."""
    count = 4096 // length
    reading = read(length, count, ports=ports, latency_cycles=latency)
    first = START_CYCLES + latency
    assert reading.spans == [(first, first + length * count - 1)] * ports
    assert reading.rate == ports


@pytest.mark.parametrize(
    ("length", "latency", "cycles"), [(4, 32, 4127), (4, 64, 4479), (1, 32, 16381), (1, 64, 16891)]
)
def test_short_bursts_are_slower(
    read: Callable[..., Reading], length: int, latency: int, cycles: int
) -> None:
    """Four cycles per descriptor bound those of a beat; 16 of them in flight do not cover 64 cycles
    of latency.
    """
    reading = read(length, 4096 // length, latency_cycles=latency)
    assert [last - first + 1 for first, last in reading.spans] == [cycles] * PORTS


@pytest.mark.parametrize(
    ("rate", "cycles"), [((64, 1), 2048), ((48, 1), 2730), ((24, 1), 5459), ((6, 1), 21835)]
)
@pytest.mark.parametrize("length", [8, 64])
def test_four_ports_share_what_the_limit_leaves(
    read: Callable[..., Reading], rate: tuple[int, int], cycles: int, length: int
) -> None:
    """Four ports use the whole limit, whatever the burst length."""
    reading = read(length, 2048 // length, rate=rate, latency_cycles=64)
    assert reading.cycles == cycles
    assert reading.rate * 16 >= Fraction(*rate) * 97 / 100


@pytest.mark.parametrize(("gbps", "cycles"), [(3, 90763), (12, 22739), (48, 5788), (128, 2232)])
@pytest.mark.parametrize("length", [8, 64])
def test_streams_in_banks_of_their_own_pay_for_each_row_once(
    read: Callable[..., Reading], gbps: int, length: int, cycles: int
) -> None:
    """The preset of the ZCU102: 5 rows for each port, whose 4 rows' worth of beats begin within a
    row.
    """
    reading = read(length, 2048 // length, **zynqmp(gbps))
    assert reading.cycles == cycles and reading.dram.page_misses == 5 * PORTS
    assert used_of_offered(reading, gbps) >= 0.99


@pytest.mark.parametrize(
    ("gbps", "cycles", "misses"),
    [(3, 91577, 126), (12, 23553, 126), (48, 6617, 138), (128, 3163, 153)],
)
def test_streams_in_one_bank_pay_for_many_bursts(
    read: Callable[..., Reading], gbps: int, cycles: int, misses: int
) -> None:
    """All that is lost is lost in the memory: the ports use what refresh and misses leave."""
    reading = read(64, 2048 // 64, stride=16384, **zynqmp(gbps))
    assert (reading.cycles, reading.dram.page_misses) == (cycles, misses)
    assert used_of_offered(reading, gbps) >= 0.99


def zynqmp(gbps: int) -> dict[str, Any]:
    """Settings of the preset with a limit."""
    rate = Fraction(gbps * 1000, 8 * CLOCK_MHZ)
    preset = DRAM_PRESETS["zynqmp"].settings(Fraction(CLOCK_MHZ))
    return {"rate": (rate.numerator, rate.denominator), "latency_cycles": 64} | preset


def used_of_offered(reading: Reading, gbps: int) -> float:
    """Bytes moved, of what the limit allows in the cycles that refresh and misses left."""
    dram = reading.dram
    left = 1 - Fraction(dram.refresh_cycles + dram.page_miss_cycles, dram.cycles)
    return float(reading.rate * 16 / Fraction(gbps * 1000, 8 * CLOCK_MHZ) / left)
