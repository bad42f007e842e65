# SPDX-License-Identifier: Apache-2.0
"""A board's record names things that there are: a part, a configuration, memories, a platform."""

from __future__ import annotations

import pytest

from boards.board import BOARDS, named_board
from cosim.dram_presets import DRAM_PRESETS
from meadow.spec.config import CONFIGURATIONS


@pytest.mark.parametrize("name", BOARDS)
def test_a_record_names_what_there_is(name: str) -> None:
    board = named_board(name)
    assert board.config_name in CONFIGURATIONS
    assert board.dram and set(board.dram) <= set(DRAM_PRESETS)
    assert set(board.device) == {"lut", "ff", "dsp", "ramb36", "uram"}
    platform = board.platform()
    assert platform.default_clk in {resource.name for resource in platform.resources.values()}


def test_the_part_is_the_platforms() -> None:
    assert named_board("zcu102").part == "xczu9eg-ffvb1156-2-e"


def test_an_unknown_board_is_told() -> None:
    with pytest.raises(ValueError, match="^unknown board 'u250': choose from zcu102"):
        named_board("u250")
