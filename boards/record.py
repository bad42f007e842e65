# SPDX-License-Identifier: Apache-2.0
"""What is recorded of a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.vendor import XilinxPlatform

from boards.zynqmp import REGISTER_PORT

__all__ = ["Board"]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board.

    platform: its platform class, with device, package, clocks and pins.
    device: what the device has of `lut`, `ff`, `dsp`, `ramb36` and `uram`.
    config_name: the configuration that is made for it, one of `meadow.spec.config`.
    dram: its memories for the simulated DRAM, names in `cosim.dram_presets`.
    board_part: what Vivado calls it, without the version; its presets set up the processing system.
    carrier: the carrier card of a module, a value of Vivado's property `board_connections`.
    ports: memory ports of the processing system in the order in which ports of the accelerator take
        them, names in MEMORY_PORTS.
    interrupt: pin of the processing system, one of FAMILY_INTERRUPTS.
    base: address of the register file.
    clock_mhz: what pl_clk0 is set to unless another frequency is asked for.
    buffer_mib: of the DMA buffer in the overlay unless another size is asked for.
    fan_pin: package pin of a fan whose speed the processor sets through the logic.
    loader: what loads a bitstream on the board's usual Linux, for the instructions.
    """

    platform: type[XilinxPlatform]
    device: Mapping[str, int]
    config_name: str
    dram: tuple[str, ...]
    board_part: str
    carrier: str | None = None
    # HP1 and HP2 share one port of the memory controller, HP3 shares one with the processor's DMA
    # and HP0 one with the display (UG1085, "PL-PS Interface Specifics"): two of ours take two.
    ports: tuple[str, ...] = ("HP1", "HP3", "HP0", "HP2")
    interrupt: str = "pl_ps_irq0"
    base: int = REGISTER_PORT.base
    clock_mhz: float = 150.0
    buffer_mib: int = 512
    fan_pin: str | None = None
    loader: str = "fpgautil"

    @property
    def part(self) -> str:
        """The device as its maker orders it: device, package, speed grade."""
        platform = self.platform
        return f"{platform.device}-{platform.package}-{platform.speed}"
