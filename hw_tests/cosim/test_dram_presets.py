# SPDX-License-Identifier: Apache-2.0
"""The named memories: cycles by hand, and what they leave of the bandwidth."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from cosim.dram_presets import DRAM_PRESETS
from cosim.library import DramSettings


def test_ideal_is_the_default() -> None:
    preset = DRAM_PRESETS["ideal"]
    assert preset.peak_gbps is None
    assert DramSettings(**preset.settings(Fraction(250))) == DramSettings()


@pytest.mark.parametrize(
    ("clock", "interval", "refresh", "miss"),
    [(100, 780, 29, 3), (250, 1950, 72, 7), (300, 2340, 86, 8)],
)
def test_cycles_of_the_zcu102(clock: int, interval: int, refresh: int, miss: int) -> None:
    """7.8 us, 260 ns and twice 30 clocks of 1066.5 MHz, in whole cycles."""
    settings = DramSettings(**DRAM_PRESETS["zynqmp"].settings(Fraction(clock)))
    assert settings.refresh_interval_cycles == interval == round(7.8 * clock)
    assert settings.refresh_cycles == refresh == round((260 + 30 / 1.0665) * clock / 1000)
    assert settings.page_miss_cycles == miss == round(30 / 1.0665 * clock / 1000)
    assert (settings.banks, settings.row_bytes) == (2**2 * 2**2, 2**10 * 8)
    assert settings.rate == (0, 1)


def test_peak_of_the_zcu102() -> None:
    assert DRAM_PRESETS["zynqmp"].peak_gbps == Fraction(136512, 1000)


def test_a_clock_too_slow_for_a_refresh_is_refused() -> None:
    with pytest.raises(ValueError, match="refresh of 288 ns every 7800 ns .* cycles of 1 MHz"):
        DRAM_PRESETS["zynqmp"].settings(Fraction(1))


@pytest.mark.parametrize("clock", [100, 250, 300])
def test_streams_in_banks_of_their_own_get_what_peers_measured(
    copier: Callable, clock: int
) -> None:
    """93 to 99 % of the limit, here of 12 Gbit/s, is left to reads and writes of whole rows."""
    rate = Fraction(12_000, 8 * clock)
    run = copier(
        rate=(rate.numerator, rate.denominator),
        **DRAM_PRESETS["zynqmp"].settings(Fraction(clock)),
    )
    run.copy(1024, destination=0x8_0000 + 4 * 8192)
    counters = run.simulation.dram_counters
    stopped = counters.refresh_cycles + counters.page_miss_cycles
    assert 0.93 < 1 - stopped / counters.cycles < 0.99
