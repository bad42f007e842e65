# SPDX-License-Identifier: Apache-2.0
"""The boards that there are, each a record; whatever is asked of a board is asked of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.vendor import XilinxPlatform

from boards.zcu102.platform import ZCU102Platform

__all__ = ["BOARDS", "Board", "named_board"]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board.

    platform: its platform class, with device, package, clocks and pins.
    device: what the device has of `lut`, `ff`, `dsp`, `ramb36` and `uram`.
    config_name: the configuration that is made for it, one of `meadow.spec.config`.
    dram: its memories for the simulated DRAM, names in `cosim.dram_presets`.
    """

    platform: type[XilinxPlatform]
    device: Mapping[str, int]
    config_name: str
    dram: tuple[str, ...]

    @property
    def part(self) -> str:
        """The device as its maker orders it: device, package, speed grade."""
        platform = self.platform
        return f"{platform.device}-{platform.package}-{platform.speed}"


BOARDS: Mapping[str, Board] = {
    "zcu102": Board(
        platform=ZCU102Platform,
        # AMD DS891
        device={"lut": 274_080, "ff": 548_160, "dsp": 2520, "ramb36": 912, "uram": 0},
        config_name="zcu102",
        dram=("zynqmp",),
    ),
}
"""By name; docs/extending.md says what a new one needs."""


def named_board(name: str) -> Board:
    """The named board; ValueError lists the names there are."""
    if name not in BOARDS:
        raise ValueError(f"unknown board {name!r}: choose from {', '.join(BOARDS)}")
    return BOARDS[name]
