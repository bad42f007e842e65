# SPDX-License-Identifier: Apache-2.0
"""Devices that configurations are made for: those of the boards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boards.board import BOARDS

__all__ = ["DEVICES", "Device", "device_of"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device.

    name: of the device alone.
    part: as its maker orders it: device, package, speed grade.
    limits: how much it has of `lut`, `ff`, `dsp`, `ramb36` and `uram`.
    config_name: the configuration that is made for it.
    """

    name: str
    part: str
    limits: Mapping[str, int]
    config_name: str


DEVICES: Mapping[str, Device] = {
    board.platform.device: Device(
        name=board.platform.device,
        part=board.part,
        limits=board.device,
        config_name=board.config_name,
    )
    for board in BOARDS.values()
}
"""By name."""


def device_of(config_name: str | None) -> Device:
    """The device that a named configuration is made for; that of the first board if it is for none,
    or has no name.
    """
    made = [device for device in DEVICES.values() if device.config_name == config_name]
    return made[0] if made else next(iter(DEVICES.values()))
