# SPDX-License-Identifier: Apache-2.0
"""How the DRAM model of the simulation behaves, checked before the simulation sees it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cosim.native import CHANNELS
from firmware.device import is_integer

__all__ = ["DramSettings"]

_BURST_PAGE_BYTES = 4096
"""No burst of AXI4 crosses a multiple of this."""


@dataclass(frozen=True, kw_only=True)
class DramSettings:
    """Behaviour of the DRAM model.

    Parameters
    ----------
    rate: (numerator, denominator) bytes per cycle shared by all ports; (0, 1) is unlimited.
    latency_cycles: from the handshake of an address to the first beat of its data, and from the
        last beat of a write to its response; at least 1.
    stalls: chance in 1/256 that a channel rests in a cycle, one number for all or one for each of
        ar, r, aw, w, b; 256 is a channel that does not answer.
    seed: of the stalls; the same seed gives the same run, cycle by cycle.
    error_address: byte address whose beat is answered SLVERR, or None.
    error_reads, error_writes: which accesses `error_address` concerns.
    refresh_interval_cycles, refresh_cycles: the last `refresh_cycles` of every interval no port
        moves data; 0, 0: never.
    page_miss_cycles: a burst whose row is not open in its bank stops the data of all ports for so
        long before its first beat; 0: every row is open.
    banks, row_bytes: powers of two; addresses run through a row, then through the banks, then to
        the next row. Every bank keeps open the row used last; at first none is.

    Raises ValueError for numbers out of range and values of another type.
    """

    rate: tuple[int, int] = (0, 1)
    latency_cycles: int = 32
    stalls: int | tuple[int, int, int, int, int] = 0
    seed: int = 0
    error_address: int | None = None
    error_reads: bool = True
    error_writes: bool = True
    refresh_interval_cycles: int = 0
    refresh_cycles: int = 0
    page_miss_cycles: int = 0
    banks: int = 16
    row_bytes: int = 8192

    def __post_init__(self) -> None:
        self._check_types()
        numerator, denominator = self.rate
        if not (0 <= numerator < 1 << 40 and 0 < denominator < 1 << 40):
            raise ValueError(f"rate must be (0.., 1..) below 2**40, not {self.rate}")
        if not 0 <= self.latency_cycles < 1 << 40:
            raise ValueError(f"latency_cycles must be 0..2**40 - 1, not {self.latency_cycles}")
        for name in ("seed", "error_address"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1 << 64:
                raise ValueError(f"{name} must be 0..2**64 - 1, not {value}")
        if any(not 0 <= stall <= 256 for stall in self.channel_stalls):
            raise ValueError(f"stalls must be 0..256 of 256, not {self.stalls}")
        interval, duration = self.refresh_interval_cycles, self.refresh_cycles
        if (interval, duration) != (0, 0) and not 0 < duration < interval < 1 << 40:
            raise ValueError(
                "refresh must be 0 < refresh_cycles < refresh_interval_cycles < 2**40, or 0 and 0 "
                "for none, "
                f"not {duration} and {interval}"
            )
        if not 0 <= self.page_miss_cycles < 1 << 20:
            raise ValueError(f"page_miss_cycles must be 0..2**20 - 1, not {self.page_miss_cycles}")
        if not 1 <= self.banks <= 1024 or self.banks & (self.banks - 1):
            raise ValueError(f"banks must be a power of two up to 1024, not {self.banks}")
        if not _BURST_PAGE_BYTES <= self.row_bytes < 1 << 40 or self.row_bytes & (
            self.row_bytes - 1
        ):
            raise ValueError(
                f"row_bytes must be a power of two of at least {_BURST_PAGE_BYTES}, so that a "
                f"burst has one row, "
                f"not {self.row_bytes}"
            )

    def _check_types(self) -> None:
        """ValueError unless every number is whole and what is true or false is that: ctypes would
        say less, and later.
        """
        stalls = self.stalls if isinstance(self.stalls, tuple) else (self.stalls,) * len(CHANNELS)
        for name, values, count in (("rate", self.rate, 2), ("stalls", stalls, len(CHANNELS))):
            if (
                not isinstance(values, tuple)
                or len(values) != count
                or not all(map(is_integer, values))
            ):
                raise ValueError(f"{name} must be {count} integers, not {getattr(self, name)!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and not isinstance(value, (bool, np.bool_)):
                raise ValueError(f"{field.name} must be True or False, not {value!r}")
            if field.type in ("int", "int | None") and not is_integer(value):
                if value is None and field.type != "int":
                    continue
                raise ValueError(f"{field.name} must be an integer, not {value!r}")

    @property
    def channel_stalls(self) -> tuple[int, ...]:
        """Chance in 1/256 of each channel, in the order ar, r, aw, w, b."""
        return self.stalls if isinstance(self.stalls, tuple) else (self.stalls,) * len(CHANNELS)
