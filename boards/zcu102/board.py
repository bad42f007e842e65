# SPDX-License-Identifier: Apache-2.0
"""The record of the ZCU102."""

from __future__ import annotations

from boards.record import Board
from boards.zcu102.platform import ZCU102Platform

__all__ = ["ZCU102"]

ZCU102 = Board(
    platform=ZCU102Platform,
    # AMD DS891
    device={"lut": 274_080, "ff": 548_160, "dsp": 2520, "ramb36": 912, "uram": 0},
    config_name="zcu102",
    dram=("zynqmp",),
    # Xilinx XilinxBoardStore boards/Xilinx/zcu102/3.4; its preset sets up the DDR4 SODIMM
    board_part="xilinx.com:zcu102:part0",
)
