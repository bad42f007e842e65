# SPDX-License-Identifier: Apache-2.0
"""KV260 platform class, in the conventions of amaranth-boards, which has no KV260.

Pin sources, by letter: B Xilinx XilinxBoardStore boards/Xilinx/kv260_som/1.4/part0_pins.xml; K
Xilinx kria-vitis-platforms kv260/platforms/kv260_bist/xdc/pin.xdc; L litex-boards xilinx_kv260.py;
M miya4649 mini16_cpu kv260/pins.xdc. Nothing here has been tried on a board yet.
"""

from __future__ import annotations

from amaranth.build import Attrs, Connector, Pins, PinsN, Resource
from amaranth.vendor import XilinxPlatform
from amaranth_boards.resources import I2CResource

__all__ = ["FAN_PIN", "KV260Platform"]

_LVCMOS33 = Attrs(IOSTANDARD="LVCMOS33", SLEW="SLOW", DRIVE="4")

_SOM240_1 = {
    # B, the camera interfaces
    **{"a3": "A2", "a4": "A1", "a9": "G6", "a10": "F6", "b1": "C1", "b2": "B1", "b4": "E4"},
    **{"b5": "E3", "b7": "B3", "b8": "A3", "b10": "E5", "b11": "D5", "c3": "G1", "c4": "F1"},
    **{"c6": "G3", "c7": "F3", "c9": "B4", "c10": "A4", "c12": "D7", "c13": "D6", "d4": "F2"},
    **{"d5": "E2", "d7": "E1", "d8": "D1", "d10": "D4", "d11": "C4"},
    # B K, their control lines
    **{"a15": "F11", "b17": "J10", "b18": "K13", "d16": "G11", "d17": "F10", "d18": "J11"},
    # B K L, the fan
    "c24": "A12",
    # B K L M, the Pmod connector J2
    **{"b21": "E12", "b22": "D11", "c22": "B11", "d20": "E10", "d21": "D10", "d22": "C11"},
    # K L M
    **{"a17": "H12", "b20": "B10"},
}
"""Pin of the module's connector -> package pin."""

FAN_PIN = _SOM240_1["c24"]


class KV260Platform(XilinxPlatform):
    """Programmable-logic side of the Xilinx KV260 (xck26-sfvc784-2LV-c).

    No clock of the card reaches the logic: a design has the processing system's, or one that comes
    in through the Pmod connector, pin 8 of which (package pin E12) can carry a clock.
    """

    device = "xck26"
    package = "sfvc784"
    speed = "2LV-c"
    default_clk = None
    resources = [
        # The fan runs while the pin is low, and at full speed while nothing drives it.
        Resource("fan", 0, PinsN("c24", dir="o", conn=("som240_1", 0)), _LVCMOS33),  # B K L
        I2CResource(0, scl="d16", sda="d17", conn=("som240_1", 0), attrs=_LVCMOS33),  # B K
        Resource(  # K; reset and standby of the camera connectors
            "camera_control",
            0,
            Pins("d18 b17 b18 a15", dir="o", conn=("som240_1", 0)),
            _LVCMOS33,
        ),
    ]
    connectors = [
        Connector("som240_1", 0, _SOM240_1),
        Connector(  # K L M
            "pmod", 0, "a17 d20 d21 d22 - - b20 b21 b22 c22 - -", conn=("som240_1", 0)
        ),
    ]
