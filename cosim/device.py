# SPDX-License-Identifier: Apache-2.0
"""The generated Verilog as a device of the driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cosim.generate import generated_verilog
from cosim.library import DramSettings, Simulation
from cosim.timeline import native_tracks, timeline_tracks, write_timeline
from cosim.verilator_build import build_library
from cosim.waves import WaveRecorder, Waves
from firmware.device import Device, DeviceTimeout
from meadow.atomic_write import check_replaceable
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.activity import activity_items

__all__ = ["CosimDevice"]

_PAGE_BYTES = 4096
_SLICE_CYCLES = 100_000
_COMMAND_INDEX = 0x140


class CosimDevice(Device):
    """`config` in Verilator, with its DRAM model.

    Parameters
    ----------
    config: what is generated, built (both cached) and simulated.
    memory_bytes: size of the DMA window, rounded up to 4 KiB.
    settings: DRAM bandwidth, latency, stalls, errors; `simulation.configure` changes them between
        runs.
    memory_base: byte address of the window.
    timeout_cycles: a run longer than this is a DeviceTimeout.
    silence_cycles: so is one that moves no DRAM byte for so long; rounded up to 100000.
    waves: waveforms to write; builds a slower library.
    timeline: file that `close` writes what the chip did to, for Perfetto (`cosim.timeline`); the
        run is a little slower.
    timeline_gap_cycles: gaps in a unit's work on a command up to so long do not end its event; 0
        keeps every cycle.
    clock_mhz: clock of the timeline's microseconds, None shows a cycle as one.
    verilog: simulate this text instead of what rtl_gen generates.
    guard_bytes: memory below and above the window, a multiple of 4 KiB; both parts are answered
        like the window, so that only the design keeps accesses out of them.
    log: told what takes long.

    Members
    -------
    guards : uint8 1-D, the memory below and above the window.
    simulation : the Simulation below; closed with the device.

    ProtocolError from `wait` if the design breaks AXI, and from the access if the register port
    answers with an error; OSError if waveforms or timeline cannot be
    written, NothingRecorded from `close` if the commands of `waves` did not run.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        memory_bytes: int,
        *,
        settings: DramSettings | None = None,
        memory_base: int = 0x1000_0000,
        timeout_cycles: int = 2_000_000_000,
        silence_cycles: int = 500_000,
        waves: Waves | None = None,
        timeline: Path | None = None,
        timeline_gap_cycles: int = 16,
        clock_mhz: float | None = None,
        verilog: str | None = None,
        guard_bytes: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config
        self.memory_base = memory_base
        self.timeout_cycles = timeout_cycles
        self.silence_cycles = silence_cycles
        self.timeline = timeline
        self._labels: list[tuple[int, Sequence[str]]] = []
        self.clock_mhz = clock_mhz
        if timeline is not None:
            check_replaceable(timeline, "the timeline")
        if timeline_gap_cycles < 0:
            raise ValueError(f"timeline_gap_cycles must be at least 0, not {timeline_gap_cycles}")
        if guard_bytes < 0 or guard_bytes % _PAGE_BYTES or guard_bytes > memory_base:
            raise ValueError(
                f"guard_bytes must be a multiple of {_PAGE_BYTES} in 0..{memory_base}, not "
                f"{guard_bytes}"
            )
        size = -(-memory_bytes // _PAGE_BYTES) * _PAGE_BYTES
        dram = np.zeros(size + 2 * guard_bytes, np.uint8)
        self._memory = dram[guard_bytes : guard_bytes + size]
        self._guards = dram[:guard_bytes], dram[guard_bytes + size :]
        library = build_library(
            generated_verilog(config, log=log) if verilog is None else verilog,
            ports=config.ports,
            trace=waves is not None,
            log=log,
        )
        base = memory_base - guard_bytes
        self.simulation = Simulation(library, dram, base=base, settings=settings)
        self._waves = None if waves is None else WaveRecorder(waves, self.simulation, config)
        if timeline is not None:
            self.simulation.start_timeline(
                native_tracks(config),
                timeline_gap_cycles,
                restart=activity_items(config).index("sequencer_busy"),
            )
        self._is_open = True

    @property
    def closed(self) -> bool:
        """See Device; its simulation may have been closed by itself."""
        return super().closed or self.simulation.closed

    @property
    def guards(self) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        self.check_open()
        return self._guards

    def _read(self, offset: int) -> int:
        value, response = self.simulation.read(offset)
        if response:
            self.simulation.check_protocol()
        return value

    def _write(self, offset: int, value: int) -> None:
        if self._waves is not None:
            self._waves.written(offset, value)
        if self.simulation.write(offset, value):
            self.simulation.check_protocol()

    def _wait(self, timeout_s: float | None) -> None:
        """`timeout_s` is time on the host's clock. The run is cut into slices so that Ctrl-C
        works.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        first = heard = self.simulation.cycle
        traffic = self.simulation.counters
        while not self.interrupt:
            cycle, before, traffic = self.simulation.cycle, traffic, self.simulation.counters
            if traffic != before:
                heard = cycle
            if cycle - first >= self.timeout_cycles:
                raise DeviceTimeout(f"no interrupt within {self.timeout_cycles} cycles")
            if cycle - heard >= self.silence_cycles:
                raise DeviceTimeout(
                    f"no DRAM traffic and no interrupt for {cycle - heard} cycles, "
                    f"{self.simulation.read(_COMMAND_INDEX)[0]} commands executed"
                )
            if deadline is not None and time.monotonic() >= deadline:
                raise DeviceTimeout(f"no interrupt within {timeout_s} s")
            left = self.timeout_cycles - (cycle - first)
            self.simulation.run(min(_SLICE_CYCLES, left), until_interrupt=True)
        self.simulation.check_protocol()

    def _interrupt(self) -> bool:
        return self.simulation.interrupt

    def _close(self) -> None:
        """Write the timeline and complete the waveforms. ProtocolError if violations were not
        reported yet; the simulation is ended all the same. In a forked child the files are the
        parent's, who writes them.
        """
        if self.simulation.inherited:
            self.simulation.close()
            return
        try:
            self._write_timeline()
            if self._waves is not None:
                self._waves.end()
            self.simulation.check_protocol()
        finally:
            self.simulation.close()

    def label_commands(self, labels: Sequence[str]) -> None:
        """Name the commands of the programs that run from now on, by index, in the timeline."""
        self.check_open()
        self._labels.append((self.simulation.cycle, labels))

    def _write_timeline(self) -> None:
        if self.timeline is None:
            return
        write_timeline(
            self.timeline,
            self.simulation.take_timeline(),
            timeline_tracks(self.config),
            clock_mhz=self.clock_mhz,
            labels=self._labels,
        )
