# SPDX-License-Identifier: Apache-2.0
"""A configuration has the device that it is made for."""

from __future__ import annotations

import pytest

from boards.board import BOARDS
from boards.device import DEVICES, device_of


@pytest.mark.parametrize(
    ("config_name", "name"),
    [("zcu102", "xczu9eg"), ("zcu102-paper", "xczu9eg"), ("kv260", "xck26"), ("tiny", "xczu9eg")],
)
def test_a_configuration_has_its_device(config_name: str, name: str) -> None:
    assert device_of(config_name) is DEVICES[name]


def test_devices_are_those_of_the_boards_and_the_kv260s() -> None:
    for board in BOARDS.values():
        assert DEVICES[board.platform.device].limits == board.device
    assert DEVICES["xck26"].part == "xck26-sfvc784-2LV-c"
    for device in DEVICES.values():
        assert set(device.limits) == {"lut", "ff", "dsp", "ramb36", "uram"}
        assert device.part.startswith(f"{device.name}-")
