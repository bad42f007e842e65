# SPDX-License-Identifier: Apache-2.0
"""The record of the KV260: the K26 module on the carrier card of the Vision AI Starter Kit."""

from __future__ import annotations

from boards.kv260.platform import FAN_PIN, KV260Platform
from boards.record import Board

__all__ = ["KV260"]

KV260 = Board(
    platform=KV260Platform,
    # AMD DS987
    device={"lut": 117_120, "ff": 234_240, "dsp": 1248, "ramb36": 144, "uram": 64},
    config_name="kv260",
    # of the module: DDR4-2400, 64 bits of devices with 16; the preset is a little slower
    dram=("zynqmp",),
    # Xilinx XilinxBoardStore boards/Xilinx/kv260_som and kv260_carrier; how kria-vitis-platforms
    # names the carrier in kv260/platforms/*/scripts/main.tcl
    board_part="xilinx.com:kv260_som:part0",
    carrier="som240_1_connector xilinx.com:kv260_carrier:som240_1_connector:1.3",
    fan_pin=FAN_PIN,
    loader="xmutil",
)
