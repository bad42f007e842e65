# SPDX-License-Identifier: Apache-2.0
"""Named memories for the DRAM model; where each number comes from is in docs/memory-system.md."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["DRAM_PRESETS", "DramPreset"]

_CLOCK_NS = Fraction(2000, 2133)
"""A clock of DDR4-2133: two transfers."""

_ROW_NS = 15 * _CLOCK_NS
"""tRP, and tRCD: 15 clocks each."""


@dataclass(frozen=True, kw_only=True)
class DramPreset:
    """A memory in its own units.

    peak_gbps: 10**9 bits per second of the data bus, None without limit.
    refresh_interval_ns, refresh_ns: how often and how long the data bus stops, 0 and 0 for never.
    page_miss_ns: what a burst to another row of its bank costs the data bus.
    banks, row_bytes: see DramSettings.
    """

    peak_gbps: Fraction | None = None
    refresh_interval_ns: Fraction = Fraction(0)
    refresh_ns: Fraction = Fraction(0)
    page_miss_ns: Fraction = Fraction(0)
    banks: int = 16
    row_bytes: int = 8192

    def settings(self, clock_mhz: Fraction) -> dict[str, Any]:
        """Fields of DramSettings without the rate, times rounded to the nearest cycle of
        `clock_mhz`.

        ValueError where a refresh is less than a cycle or leaves none.
        """
        cycles = {
            name: round(getattr(self, f"{name}_ns") * clock_mhz / 1000)
            for name in ("refresh_interval", "refresh", "page_miss")
        }
        if self.refresh_ns and not 0 < cycles["refresh"] < cycles["refresh_interval"]:
            raise ValueError(
                f"a refresh of {float(self.refresh_ns):.0f} ns every "
                f"{float(self.refresh_interval_ns):.0f} ns "
                f"cannot be counted in cycles of {float(clock_mhz):g} MHz"
            )
        return {
            "refresh_interval_cycles": cycles["refresh_interval"],
            "refresh_cycles": cycles["refresh"],
            "page_miss_cycles": cycles["page_miss"],
            "banks": self.banks,
            "row_bytes": self.row_bytes,
        }


DRAM_PRESETS = {
    "ideal": DramPreset(),
    "zynqmp": DramPreset(
        peak_gbps=Fraction(2133 * 64, 1000),
        refresh_interval_ns=Fraction(7800),
        # All banks are closed before (tRP), and the first row is opened after (tRCD) the 260 ns of
        # 4 Gbit devices.
        refresh_ns=260 + 2 * _ROW_NS,
        page_miss_ns=2 * _ROW_NS,
        banks=16,
        row_bytes=8192,
    ),
}
"""By name: `ideal` moves data in every cycle; `zynqmp` is the DDR4-2133 SODIMM at the processing
system of the ZCU102.
"""
