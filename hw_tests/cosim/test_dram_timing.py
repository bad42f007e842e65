# SPDX-License-Identifier: Apache-2.0
"""Refresh and page misses of the DRAM model to the cycle, driven by the copy engine; without them
nothing has changed.

The engine's ports copy from 64 KiB * port to `destination` + 64 KiB * port in bursts of 16 beats.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cosim.library import DramSettings
from hw_tests.seeds import recorded, salted

PORTS = 2
BEATS = 512
BURSTS = 2 * PORTS * BEATS // 16
OTHER_BANKS = 0x8_0000 + 8192
"""A destination whose rows lie in other banks than those of the sources."""


def test_defaults_are_what_they_were(copier: Callable) -> None:
    """Cycles of the model before it knew refresh and rows."""
    assert [copier().copy(beats) for beats in (16, 32, BEATS)] == [35, 51, 531]
    assert copier(rate=(16, 1)).copy(BEATS) == 2063
    assert copier(rate=(7, 3)).copy(BEATS) == 14047
    assert copier(stalls=100, seed=recorded(3)).copy(BEATS) == 891
    assert copier(stalls=100, seed=recorded(4), rate=(11, 1), latency_cycles=77).copy(BEATS) == 3138


def test_without_refresh_and_rows_nothing_is_counted(copier: Callable) -> None:
    run = copier()
    run.copy(BEATS)
    counters = run.simulation.dram_counters
    assert counters.cycles == 546  # 531 and the accesses to the engine's registers
    assert (counters.refresh_cycles, counters.page_miss_cycles) == (0, 0)
    assert (counters.page_hits, counters.page_misses) == (0, 0)


@pytest.mark.parametrize("rate", [(0, 1), (16, 1), (7, 3)])
@pytest.mark.parametrize(("interval", "duration"), [(100, 8), (1950, 72), (200, 48), (61, 4)])
def test_every_refresh_takes_its_cycles_from_all_ports(
    copier: Callable, rate: tuple[int, int], interval: int, duration: int
) -> None:
    """The run is longer by exactly the refreshes that lie in it.

    Durations are multiples of four cycles, after which the order of service is the same again.
    """
    base = copier(rate=rate).copy(BEATS)
    run = copier(rate=rate, refresh_interval_cycles=interval, refresh_cycles=duration)
    cycles = run.copy(BEATS)
    counters = run.simulation.dram_counters
    inside = sum(cycle % interval >= interval - duration for cycle in range(counters.cycles))
    assert counters.refresh_cycles == inside and counters.page_miss_cycles == 0
    assert cycles - base == counters.refresh_cycles // duration * duration


def test_a_refresh_stops_no_latency(copier: Callable) -> None:
    """One burst per port: the gap lies between address and data, which come when they would have
    come.
    """
    assert copier(refresh_interval_cycles=1000, refresh_cycles=980).copy(16) > 900
    base = copier(latency_cycles=64).copy(16)
    run = copier(latency_cycles=64, refresh_interval_cycles=60, refresh_cycles=20)
    assert run.copy(16) == base
    assert run.simulation.dram_counters.refresh_cycles >= 20


@pytest.mark.parametrize("rate", [(0, 1), (16, 1)])
@pytest.mark.parametrize("miss", [1, 7, 100])
def test_bursts_within_an_open_row_are_free(
    copier: Callable, rate: tuple[int, int], miss: int
) -> None:
    """Two sources and two destinations of one row each, all in different banks: four misses, all
    others hit.
    """
    base = copier(rate=rate).copy(BEATS, destination=OTHER_BANKS)
    run = copier(rate=rate, page_miss_cycles=miss)
    cycles = run.copy(BEATS, destination=OTHER_BANKS)
    counters = run.simulation.dram_counters
    assert (counters.page_misses, counters.page_hits) == (4, BURSTS - 4)
    assert counters.page_miss_cycles == 4 * miss == cycles - base
    assert run.copy(BEATS, destination=OTHER_BANKS) == base
    assert run.simulation.dram_counters.page_misses == 4


@pytest.mark.parametrize("rate", [(0, 1), (16, 1)])
def test_every_burst_pays_where_rows_share_a_bank(copier: Callable, rate: tuple[int, int]) -> None:
    """Source and destination of a port share their bank, and reads and writes take turns."""
    base = copier(rate=rate).copy(BEATS)
    run = copier(rate=rate, page_miss_cycles=7)
    cycles = run.copy(BEATS)
    counters = run.simulation.dram_counters
    assert (counters.page_misses, counters.page_hits) == (BURSTS, 0)
    assert cycles - base == counters.page_miss_cycles == 7 * BURSTS


@pytest.mark.parametrize(
    ("banks", "row_bytes", "misses"),
    [
        (16, 8192, 4),  # four rows, four banks
        (32, 4096, 8),  # twice as many
        (16, 4096, BURSTS),  # the ports' sources and destinations meet in a bank
        (32, 8192, 4),
        (1024, 4096, 8),
        (1, 1 << 20, 1),  # one row for all
    ],
)
def test_rows_and_banks_are_as_asked_for(
    copier: Callable, banks: int, row_bytes: int, misses: int
) -> None:
    run = copier(page_miss_cycles=3, banks=banks, row_bytes=row_bytes)
    run.copy(BEATS, destination=OTHER_BANKS)
    counters = run.simulation.dram_counters
    assert counters.page_misses == misses
    assert counters.page_misses + counters.page_hits == BURSTS
    assert counters.page_miss_cycles == 3 * misses


def test_refresh_and_misses_add_up(copier: Callable) -> None:
    """Each lost cycle has one cause: a miss that a refresh interrupts goes on behind it."""
    base = copier(rate=(16, 1)).copy(BEATS)
    run = copier(
        rate=(16, 1), page_miss_cycles=7, refresh_interval_cycles=50, refresh_cycles=9, banks=1
    )
    cycles = run.copy(BEATS)
    counters = run.simulation.dram_counters
    assert counters.page_misses == BURSTS and counters.page_miss_cycles == 7 * BURSTS
    assert cycles - base == 7 * BURSTS + counters.refresh_cycles // 9 * 9


def test_data_is_right_whatever_stops_it(copier: Callable) -> None:
    run = copier(
        stalls=90,
        seed=salted(6),
        rate=(20, 1),
        page_miss_cycles=5,
        refresh_interval_cycles=90,
        refresh_cycles=20,
    )
    run.copy(BEATS)
    size = 16 * BEATS
    for port in range(PORTS):
        source, destination = port << 16, 0x8_0000 + (port << 16)
        copied = run.memory[destination : destination + size]
        assert (run.memory[source : source + size] == copied).all()


def test_settings_that_change_start_time_and_rows_anew(copier: Callable) -> None:
    settings = {"page_miss_cycles": 9, "refresh_interval_cycles": 700, "refresh_cycles": 300}
    run = copier()
    cycles = []
    for _ in range(3):
        run.simulation.configure(**settings)
        cycles.append(run.copy(BEATS, destination=OTHER_BANKS))
    assert cycles[0] == cycles[1] == cycles[2]
    assert run.simulation.dram_counters.page_misses == 3 * 4
    assert run.copy(BEATS, destination=OTHER_BANKS) != cycles[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"refresh_cycles": 5}, r"0 < refresh_cycles < .* or 0 and 0 for none, not 5 and 0"),
        ({"refresh_interval_cycles": 5}, "refresh must be .* not 0 and 5"),
        ({"refresh_interval_cycles": 5, "refresh_cycles": 5}, "refresh must be .* not 5 and 5"),
        ({"refresh_interval_cycles": -5, "refresh_cycles": -7}, "refresh must be .* not -7 and -5"),
        ({"page_miss_cycles": -1}, r"page_miss_cycles must be 0..2\*\*20 - 1, not -1"),
        ({"banks": 12}, "banks must be a power of two up to 1024, not 12"),
        ({"banks": 0}, "banks must be a power of two up to 1024, not 0"),
        ({"row_bytes": 2048}, "row_bytes must be a power of two of at least 4096, .* not 2048"),
        ({"row_bytes": 12288}, "row_bytes must be a power of two .* not 12288"),
    ],
)
def test_settings_out_of_range_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DramSettings(**fields)
