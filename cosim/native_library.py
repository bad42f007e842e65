# SPDX-License-Identifier: Apache-2.0
"""The functions of a simulation library, as ctypes calls them, and what it is given by pointer."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from cosim.dram_settings import DramSettings
from cosim.native import CHANNELS, NativeDramCounters, NativePortCounters, NativeSettings
from firmware.device import is_integer

__all__ = ["check_memory", "native_settings", "open_library", "whole_number"]

_MEMORY_RULE = "memory must be a writable contiguous uint8 vector"

_HANDLE = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "cosim_ports": (ctypes.c_uint, ()),
    "cosim_new": (_HANDLE, (ctypes.POINTER(NativeSettings),)),
    "cosim_delete": (None, (_HANDLE,)),
    "cosim_configure": (None, (_HANDLE, ctypes.POINTER(NativeSettings))),
    "cosim_reset": (ctypes.c_int64, (_HANDLE, ctypes.c_uint)),
    "cosim_run": (ctypes.c_int64, (_HANDLE, ctypes.c_uint64, ctypes.c_int)),
    "cosim_write": (ctypes.c_int64, (_HANDLE, ctypes.c_uint32, ctypes.c_uint32)),
    "cosim_read": (ctypes.c_int64, (_HANDLE, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))),
    "cosim_interrupt": (ctypes.c_int, (_HANDLE,)),
    "cosim_quiet": (ctypes.c_int, (_HANDLE,)),
    "cosim_cycle": (ctypes.c_uint64, (_HANDLE,)),
    "cosim_counters": (None, (_HANDLE, ctypes.c_uint, ctypes.POINTER(NativePortCounters))),
    "cosim_dram_counters": (None, (_HANDLE, ctypes.POINTER(NativeDramCounters))),
    "cosim_waves": (
        ctypes.c_int64,
        (_HANDLE, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint),
    ),
    "cosim_waves_of": (None, (_HANDLE, ctypes.c_uint32, ctypes.c_uint32)),
    "cosim_waves_close": (ctypes.c_int64, (_HANDLE,)),
    "cosim_timeline": (
        None,
        (_HANDLE, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint),
    ),
    "cosim_timeline_take": (ctypes.c_uint64, (_HANDLE, ctypes.POINTER(ctypes.c_void_p))),
    "cosim_bursts": (None, (_HANDLE, ctypes.c_int)),
    "cosim_bursts_take": (ctypes.c_uint64, (_HANDLE, ctypes.POINTER(ctypes.c_void_p))),
    "cosim_violations": (
        ctypes.c_uint64,
        (_HANDLE, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int),
    ),
    "cosim_error": (ctypes.c_char_p, (_HANDLE,)),
}


def open_library(path: Path) -> ctypes.CDLL:
    """The library at `path`, its functions with their types."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def check_memory(memory: object, base: object) -> None:
    """ValueError unless a library can share the array `memory` and place it at `base`."""
    if not isinstance(memory, np.ndarray):
        raise ValueError(f"{_MEMORY_RULE}, not {memory!r:.40}")
    usable = memory.dtype == np.uint8 and memory.ndim == 1
    if not (usable and memory.flags.c_contiguous and memory.flags.writeable):
        raise ValueError(f"{_MEMORY_RULE}, not {memory.dtype} {memory.shape}")
    whole_number("base", base, 64)


def whole_number(name: str, value: object, bits: int) -> int:
    """`value`; ValueError for one that ctypes would wrap or not take."""
    if not (is_integer(value) and 0 <= value < 1 << bits):
        raise ValueError(f"{name} must be an integer 0..2**{bits} - 1, not {value!r}")
    return int(value)


def native_settings(settings: DramSettings, memory: np.ndarray, base: int) -> NativeSettings:
    """Settings as the library reads them; `memory` must live as long as it uses them."""
    kinds = 0
    if settings.error_address is not None:
        kinds = settings.error_reads + 2 * settings.error_writes
    return NativeSettings(
        base,
        memory.size,
        memory.ctypes.data,
        *settings.rate,
        settings.latency_cycles,
        settings.seed,
        settings.error_address or 0,
        kinds,
        (ctypes.c_uint32 * len(CHANNELS))(*settings.channel_stalls),
        settings.refresh_interval_cycles,
        settings.refresh_cycles,
        settings.page_miss_cycles,
        settings.row_bytes,
        settings.banks,
    )
