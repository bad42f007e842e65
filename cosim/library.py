# SPDX-License-Identifier: Apache-2.0
"""The simulation library from Python: one call per run, none per cycle; the DRAM is a NumPy array
shared by pointer.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from cosim.bursts import BURST
from cosim.dram_settings import DramSettings
from cosim.native import (
    DramCounters,
    NativeDramCounters,
    NativePortCounters,
    NativeSettings,
    PortCounters,
)
from cosim.native_library import check_memory, native_settings, open_library, whole_number
from cosim.timeline import TIMELINE_EVENT, TIMELINE_TRACK
from firmware.device import DeviceClosed, register_offset, register_value

__all__ = [
    "DramSettings",
    "ProtocolError",
    "Simulation",
    "SimulationError",
]


class SimulationError(RuntimeError):
    """The design stopped the simulation (assertion) or did not answer a register access."""


class ProtocolError(SimulationError):
    """The design broke a rule of AXI; the message lists the first violations with their cycles."""


class Simulation:
    """One running instance of a library made by `build_library`, out of reset when constructed.

    Parameters
    ----------
    path: the shared library.
    memory: uint8 1-D, C-contiguous and writable; the DRAM itself, not a copy of it.
    base: byte address of its first byte.
    settings: see DramSettings; `configure` changes them between runs.

    Members
    -------
    memory : the DRAM; another array takes its place with `configure`. The simulation keeps the
        array that it uses alive, and does not touch it after `close`.
    closed : whether it was closed, or its constructor did not succeed.

    Raises ValueError for an unusable array; DeviceClosed for whatever needs the library after
    `close`. A simulation has one owner: it cannot be copied, and what a
    forked child closes is its own copy. Threads that share one take turns, call by call.
    """

    _end: weakref.finalize | None = None

    def __init__(
        self,
        path: Path,
        memory: np.ndarray,
        *,
        base: int,
        settings: DramSettings | None = None,
    ) -> None:
        check_memory(memory, base)
        if not isinstance(settings, DramSettings | None):
            raise ValueError(f"settings must be a DramSettings, not {settings!r:.40}")
        self._turn = threading.RLock()
        self._library = open_library(path)
        self.memory = memory
        self.base = base
        self.settings = settings or DramSettings()
        self._native_handle = self._library.cosim_new(ctypes.byref(self._native()))
        self._process = os.getpid()
        # Called once, by `close` or when nobody has the simulation any more.
        self._end = weakref.finalize(
            self, _delete, self._library.cosim_delete, self._native_handle, self._process
        )
        self._end.atexit = False
        try:
            self.reset()
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """See the class."""
        return self._end is None or not self._end.alive

    @property
    def _handle(self) -> int:
        """The library's object; DeviceClosed when there is none any more."""
        if self.closed:
            raise DeviceClosed("the device is closed: its simulation has ended")
        return self._native_handle

    @property
    def inherited(self) -> bool:
        """Whether this process has the simulation from the one that made it, by a fork."""
        return os.getpid() != self._process

    def _native(self) -> NativeSettings:
        self._used = self.memory  # the library has a pointer into it until the next call
        return native_settings(self.settings, self.memory, self.base)

    def configure(self, **changes: object) -> None:
        """Change fields of `settings` between two cycles; stalls start again from the seed, refresh
        and rows anew.

        Bursts under way go on: what a response says was settled when the memory took its address or
            its data.
        ValueError for a field that there is not, or a value that DramSettings refuses; then nothing
            has changed.
        """
        known = [field.name for field in fields(DramSettings)]
        for name in changes:
            if name not in known:
                raise ValueError(f"there is no setting {name!r}: choose from {', '.join(known)}")
        with self._turn:
            _ = self._handle
            settings = replace(self.settings, **changes)  # pyright: ignore[reportArgumentType]
            check_memory(self.memory, self.base)
            self.settings = settings
            self._call("cosim_configure", ctypes.byref(self._native()))

    def reset(self, cycles: int = 4) -> None:
        """Hold `rst` for some cycles, MEADOW needs 4 at least, and forget the bursts under way."""
        self._checked(self._call("cosim_reset", whole_number("cycles", cycles, 32)))

    def run(self, cycles: int, *, until_interrupt: bool = False) -> int:
        """Clock the design for `cycles`, or until `irq` is high; returns the cycles run.
        ProtocolError, SimulationError.
        """
        count = whole_number("cycles", cycles, 63)
        done = self._checked(self._call("cosim_run", count, until_interrupt))
        self.check_protocol()
        return done

    def write(self, offset: int, value: int) -> int:
        """Write a register through AXI4-Lite; returns the response, 0 for OKAY. Any other is a
        violation, see `check_protocol`.

        RegisterError for an offset or a value that the bus does not have.
        """
        offset = register_offset(offset)
        value = register_value(value, offset=offset)
        return self._checked(self._call("cosim_write", offset, value))

    def read(self, offset: int) -> tuple[int, int]:
        """Read a register through AXI4-Lite; returns the value and the response, as `write`.

        RegisterError for an offset that the bus does not have.
        """
        offset = register_offset(offset)
        value = ctypes.c_uint32()
        response = self._checked(self._call("cosim_read", offset, ctypes.byref(value)))
        return value.value, response

    def start_timeline(self, tracks: np.ndarray, gap_cycles: int, *, restart: int) -> None:
        """Keep what `activity` and `unit_command` show from here on, as `tracks` (TIMELINE_TRACK,
        1-D) say. Gaps of up to `gap_cycles` are merged, but not when bit `restart` of `activity`
        rises: then a program starts.
        """
        tracks = np.ascontiguousarray(tracks, TIMELINE_TRACK)
        self._call("cosim_timeline", tracks.ctypes.data, len(tracks), gap_cycles, restart)

    def take_timeline(self) -> np.ndarray:
        """TIMELINE_EVENT since the start or the last call, unsorted; what goes on is cut here."""
        return self._taken("cosim_timeline_take", TIMELINE_EVENT)

    def start_waves(self, path: Path, tracks: np.ndarray, *, running: int) -> None:
        """Open an FST file for what `record_waves` asks for; `tracks` as for a timeline, bit
        `running` of `activity`: a program runs. ValueError for a library without tracing.
        """
        tracks = np.ascontiguousarray(tracks, TIMELINE_TRACK)
        place, count = tracks.ctypes.data, len(tracks)
        if not self._checked(self._call("cosim_waves", os.fsencode(path), place, count, running)):
            raise ValueError("this library was built without tracing: build it with trace=True")

    def record_waves(self, first: int, last: int) -> None:
        """Record commands `first` to `last` of the program that runs, or none; see waves.hpp."""
        self._call("cosim_waves_of", first, last)

    def end_waves(self) -> int:
        """Complete the file; returns the cycles that are in it."""
        return self._checked(self._call("cosim_waves_close"))

    def record_bursts(self, on: bool = True) -> None:
        """Keep every burst that a port shows to the memory from here on, or stop."""
        self._call("cosim_bursts", on)

    def take_bursts(self) -> np.ndarray:
        """BURST of all ports since `record_bursts` or the last call, by cycle."""
        return self._taken("cosim_bursts_take", BURST)

    def check_protocol(self) -> None:
        """Raise ProtocolError, once, for the violations found since the last call."""
        text = ctypes.create_string_buffer(4096)
        count = self._call("cosim_violations", text, len(text), 1)
        if count:
            raise ProtocolError(f"{count} violations of AXI:\n{text.value.decode()}")

    @property
    def interrupt(self) -> bool:
        """Level of `irq`."""
        return bool(self._call("cosim_interrupt"))

    @property
    def quiet(self) -> bool:
        """Whether no port asks for a burst or has one under way."""
        return bool(self._call("cosim_quiet"))

    @property
    def cycle(self) -> int:
        """Clock cycles since the library was opened."""
        return int(self._call("cosim_cycle"))

    @property
    def counters(self) -> tuple[PortCounters, ...]:
        """Traffic of each port, counted by the memory, not by the design."""
        result = []
        _ = self._handle
        for port in range(self._library.cosim_ports()):
            native = NativePortCounters()
            self._call("cosim_counters", port, ctypes.byref(native))
            result.append(
                PortCounters(*(getattr(native, field[0]) for field in NativePortCounters._fields_))
            )
        return tuple(result)

    @property
    def dram_counters(self) -> DramCounters:
        """What refresh and page misses took from the ports."""
        native = NativeDramCounters()
        self._call("cosim_dram_counters", ctypes.byref(native))
        return DramCounters(*(getattr(native, field[0]) for field in NativeDramCounters._fields_))

    def close(self) -> None:
        """End the simulation; nothing happens if it has ended already. What another thread has
        begun ends first. In a forked child only the child's copy ends.
        """
        if self._end is None:
            return
        if self.inherited:  # a thread that has its turn for ever may not have come along
            self._end()
            return
        with self._turn:
            self._end()

    def __reduce__(self) -> NoReturn:
        # Copies would share the library's object, and the second `close` would free it again.
        raise TypeError("a simulation cannot be copied or pickled")

    def __enter__(self) -> Simulation:
        _ = self._handle
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(self, name: str, *arguments: object) -> Any:
        """What the function `name` of the library returns for this simulation; one thread at a
        time, so that none is inside while another closes it."""
        with self._turn:
            return getattr(self._library, name)(self._handle, *arguments)

    def _taken(self, take: str, kind: np.dtype) -> np.ndarray:
        """Copy of the records that a function of the library points to."""
        records = ctypes.c_void_p()
        with self._turn:
            count = self._call(take, ctypes.byref(records))
            data = ctypes.string_at(records, count * kind.itemsize) if count else b""
        return np.frombuffer(data, kind)

    def _checked(self, result: int) -> int:
        if result < 0:
            raise SimulationError(self._call("cosim_error").decode())
        return result


def _delete(delete: Callable[[int], None], handle: int, process: int) -> None:
    """End the library's object in the process that made it: the copy that a forked child has shares
    open files with it.
    """
    if os.getpid() == process:
        delete(handle)
