# SPDX-License-Identifier: Apache-2.0
"""A board's record names things that there are: a part, a configuration, memories, a platform."""

from __future__ import annotations

import re

import pytest

from boards.board import BOARDS, named_board
from boards.zynqmp import CLOCK_MHZ, FAMILY_INTERRUPTS, MEMORY_PORTS, REGISTER_PORT
from cosim.dram_presets import DRAM_PRESETS
from meadow.spec.config import CONFIGURATIONS


@pytest.mark.parametrize("name", BOARDS)
def test_a_record_names_what_there_is(name: str) -> None:
    board = named_board(name)
    assert board.config_name in CONFIGURATIONS
    assert board.dram and set(board.dram) <= set(DRAM_PRESETS)
    assert set(board.device) == {"lut", "ff", "dsp", "ramb36", "uram"}
    platform = board.platform()
    clocks = {resource.name for resource in platform.resources.values()}
    assert platform.default_clk is None or platform.default_clk in clocks
    assert set(board.ports) == set(MEMORY_PORTS) and board.interrupt in FAMILY_INTERRUPTS
    assert board.base % 4096 == 0
    assert 0 <= board.base - REGISTER_PORT.base < REGISTER_PORT.size
    assert CLOCK_MHZ[0] <= board.clock_mhz <= CLOCK_MHZ[1]
    assert re.fullmatch(r"[a-z.]+:\w+:part0", board.board_part)


def test_the_part_is_the_platforms() -> None:
    assert named_board("zcu102").part == "xczu9eg-ffvb1156-2-e"
    assert named_board("kv260").part == "xck26-sfvc784-2LV-c"


def test_two_ports_of_a_board_do_not_share_one_of_the_memory_controller() -> None:
    shared = {"HP0": 3, "HP1": 4, "HP2": 4, "HP3": 5}  # AMD UG1085, PL-PS Interface Specifics
    for board in BOARDS.values():
        first, second, third, _ = (shared[port] for port in board.ports)
        assert len({first, second, third}) == 3


def test_an_unknown_board_is_told() -> None:
    with pytest.raises(ValueError, match="^unknown board 'u250': choose from zcu102"):
        named_board("u250")
