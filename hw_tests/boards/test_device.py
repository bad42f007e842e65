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


def test_devices_are_those_of_the_boards() -> None:
    assert len(DEVICES) == len(BOARDS)
    for board in BOARDS.values():
        device = DEVICES[board.platform.device]
        assert device.limits == board.device and device.part == board.part
        assert device.config_name == board.config_name
