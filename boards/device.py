# SPDX-License-Identifier: Apache-2.0
"""Devices that configurations are made for: those of the boards, and one more."""

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


_XCK26 = Device(  # of the K26 module on a KV260, AMD DS987
    name="xck26",
    part="xck26-sfvc784-2LV-c",
    limits={"lut": 117_120, "ff": 234_240, "dsp": 1248, "ramb36": 144, "uram": 64},
    config_name="kv260",
)
_OF_BOARDS = [
    Device(
        name=board.platform.device,
        part=board.part,
        limits=board.device,
        config_name=board.config_name,
    )
    for board in BOARDS.values()
]

DEVICES: Mapping[str, Device] = {device.name: device for device in (*_OF_BOARDS, _XCK26)}
"""By name."""


def device_of(config_name: str | None) -> Device:
    """The device that a named configuration is made for; that of the first board if it is for none,
    or has no name.
    """
    made = [device for device in DEVICES.values() if device.config_name == config_name]
    return made[0] if made else next(iter(DEVICES.values()))
