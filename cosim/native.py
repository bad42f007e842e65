# SPDX-License-Identifier: Apache-2.0
"""What passes between Python and the simulation library by pointer: settings in, counters out."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields

__all__ = [
    "CHANNELS",
    "DramCounters",
    "NativeDramCounters",
    "NativePortCounters",
    "NativeSettings",
    "PortCounters",
]

CHANNELS = ("ar", "r", "aw", "w", "b")


@dataclass(frozen=True)
class PortCounters:
    """What one AXI4 port moved since the library was opened: bytes of whole beats, and bursts."""

    bytes_read: int
    bytes_written: int
    read_bursts: int
    write_bursts: int


@dataclass(frozen=True)
class DramCounters:
    """What the memory did since the library was opened; a cycle without data is counted once.

    cycles: all but those in reset. refresh_cycles, page_miss_cycles: cycles in which no port could
        move data, by cause.
    page_hits, page_misses: bursts by whether their row was open; none are counted without
        `page_miss_cycles`.
    """

    cycles: int
    refresh_cycles: int
    page_miss_cycles: int
    page_hits: int
    page_misses: int


class NativeSettings(ctypes.Structure):
    """`Settings` of dram.hpp."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("memory", ctypes.c_void_p),
        ("rate_numerator", ctypes.c_uint64),
        ("rate_denominator", ctypes.c_uint64),
        ("latency", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("error_address", ctypes.c_uint64),
        ("error_kinds", ctypes.c_uint32),
        ("stall", ctypes.c_uint32 * len(CHANNELS)),
        ("refresh_interval", ctypes.c_uint64),
        ("refresh_cycles", ctypes.c_uint64),
        ("page_miss", ctypes.c_uint64),
        ("row_bytes", ctypes.c_uint64),
        ("banks", ctypes.c_uint64),
    )


class NativePortCounters(ctypes.Structure):
    """PortCounters as the library fills them in."""

    _fields_ = tuple((field.name, ctypes.c_uint64) for field in fields(PortCounters))


class NativeDramCounters(ctypes.Structure):
    """DramCounters as the library fills them in."""

    _fields_ = tuple((field.name, ctypes.c_uint64) for field in fields(DramCounters))
