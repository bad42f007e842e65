# SPDX-License-Identifier: Apache-2.0
"""Devices as a command line names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from cosim.device import CosimDevice
from cosim.dram_presets import DRAM_PRESETS, DramPreset
from cosim.library import DramSettings
from cosim.waves import Waves
from firmware.device import Device
from firmware.golden_device import GoldenDevice
from meadow.atomic_write import check_replaceable
from meadow.spec.checks import check_choice
from meadow.spec.config import AcceleratorConfig

__all__ = ["DEVICES", "LABELS", "Throttle", "check_device", "check_timeline", "open_device"]

DEVICES = ("sim", "golden")
LABELS = {"sim": "simulated", "golden": "golden model, without time"}


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """The DRAM of a simulated device.

    bandwidth_gbps: 10**9 bits per second, all ports together, None is unlimited; clock_mhz: of the
        accelerator;
    stalls: chance that a channel rests in a cycle, 0 <= stalls < 1; latency_cycles; seed: of the
        stalls, 64 bits;
    dram: name in DRAM_PRESETS, whose peak is a limit too.

    Raises ValueError for numbers out of range.
    """

    bandwidth_gbps: float | None = None
    clock_mhz: float = 250.0
    stalls: float = 0.0
    latency_cycles: int = 32
    seed: int = 0
    dram: str = "ideal"

    def __post_init__(self) -> None:
        check_choice("dram", self.dram, DRAM_PRESETS)
        if self.bandwidth_gbps is not None and not 0.001 <= self.bandwidth_gbps <= 1e6:
            raise ValueError(f"bandwidth must be 0.001..1e6 Gbit/s, not {self.bandwidth_gbps}")
        if not 0.001 <= self.clock_mhz <= 1e5:
            raise ValueError(f"clock must be 0.001..1e5 MHz, not {self.clock_mhz}")
        if not 0 <= self.stalls < 1:
            raise ValueError(f"stalls must be a probability below 1, not {self.stalls}")
        if not 0 <= self.latency_cycles <= 1_000_000:
            raise ValueError(f"latency must be 0..1000000 cycles, not {self.latency_cycles}")
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"seed must be 0..2**64 - 1, not {self.seed}")
        self.settings()

    @property
    def preset(self) -> DramPreset:
        """The memory behind the limit."""
        return DRAM_PRESETS[self.dram]

    @property
    def bytes_per_cycle(self) -> Fraction | None:
        """Exact DRAM bytes per clock cycle, None if unlimited."""
        limits = [] if self.bandwidth_gbps is None else [Fraction(str(self.bandwidth_gbps))]
        if self.preset.peak_gbps is not None:
            limits.append(self.preset.peak_gbps)
        if not limits:
            return None
        bits = min(limits) * 1000 / Fraction(str(self.clock_mhz))
        return (bits / 8).limit_denominator(1_000_000)

    @property
    def limit_text(self) -> str:
        """The limit in words, as figures are labelled with it: "DRAM unlimited", "DRAM 12
        Gbit/s".
        """
        limits = [self.bandwidth_gbps, self.preset.peak_gbps]
        rate = min((float(limit) for limit in limits if limit is not None), default=None)
        name = "DRAM" if self.dram == "ideal" else f"{self.dram} DRAM"
        return f"{name} unlimited" if rate is None else f"{name} {rate:g} Gbit/s"

    def settings(self) -> DramSettings:
        """The same for the DRAM model."""
        rate = self.bytes_per_cycle
        return DramSettings(
            rate=(0, 1) if rate is None else (rate.numerator, rate.denominator),
            latency_cycles=self.latency_cycles,
            stalls=min(255, round(self.stalls * 256)),
            seed=self.seed,
            **self.preset.settings(Fraction(str(self.clock_mhz))),
        )


def check_timeline(path: Path | None, device: str = "sim") -> None:
    """ValueError if `device` has no time, OutputError if no timeline can be written to `path`:
    before the work.
    """
    if path is None:
        return
    if device != "sim":
        raise ValueError(f"only device sim has a timeline, not {device!r}: leave --trace out")
    check_replaceable(path, "the timeline")


def open_device(
    name: str,
    config: AcceleratorConfig,
    memory_bytes: int,
    throttle: Throttle,
    log: Callable[[str], None],
    *,
    timeline: Path | None = None,
    labels: Sequence[str] = (),
    waves: Waves | None = None,
) -> Device:
    """The device `name` with a DMA window; see `check_device`.

    timeline: see CosimDevice and `check_timeline`; labels: its names of the program's commands.
    waves: see CosimDevice; for sim only.
    """
    check_device(name)
    check_timeline(timeline, name)
    if name == "sim":
        device = CosimDevice(
            config,
            memory_bytes,
            settings=throttle.settings(),
            timeline=timeline,
            waves=waves,
            clock_mhz=throttle.clock_mhz,
            log=log,
        )
        device.label_commands(labels)
        return device
    return GoldenDevice(config, memory_bytes)


def check_device(name: str) -> None:
    """ValueError for an unknown device; it lists the names there are."""
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}: choose from {', '.join(DEVICES)}")
