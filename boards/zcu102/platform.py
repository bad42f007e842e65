# SPDX-License-Identifier: Apache-2.0
"""ZCU102 platform class, in the conventions of amaranth-boards, which has no ZCU102.

Pin sources, by letter: C corundum fpga/mqnic/ZCU102/fpga.xdc, V verilog-ethernet example/ZCU102, L
litex-boards xilinx_zcu102.py, S slaclab axi-soc-ultra-plus-core XilinxZcu102.xdc. Nothing here has
been tried on a board yet.
"""

from __future__ import annotations

from amaranth.build import Attrs, Clock, Connector, DiffPairs, Pins, Resource
from amaranth.vendor import XilinxPlatform
from amaranth_boards.resources import ButtonResources, LEDResources, SwitchResources, UARTResource

__all__ = ["ZCU102Platform"]

_LVCMOS33 = Attrs(IOSTANDARD="LVCMOS33")


class ZCU102Platform(XilinxPlatform):
    """Programmable-logic side of the Xilinx ZCU102 (xczu9eg-ffvb1156-2-e); `clk125` is the default
    clock.
    """

    device = "xczu9eg"
    package = "ffvb1156"
    speed = "2-e"
    default_clk = "clk125"
    default_rst = "cpu_reset"
    resources = [
        Resource(  # sources C V L S
            "clk125",
            0,
            DiffPairs("G21", "F21", dir="i"),
            Clock(125e6),
            Attrs(IOSTANDARD="LVDS_25"),
        ),
        Resource(  # source S
            "clk74_25",
            0,
            DiffPairs("AK15", "AK14", dir="i"),
            Clock(74.25e6),
            Attrs(IOSTANDARD="LVDS_25"),
        ),
        Resource(  # sources C L; 300 MHz until the Si570 is reprogrammed
            "clk300",
            0,
            DiffPairs("AL8", "AL7", dir="i"),
            Clock(300e6),
            Attrs(IOSTANDARD="DIFF_SSTL12"),
        ),
        Resource("cpu_reset", 0, Pins("AM13", dir="i"), _LVCMOS33),  # C V L S
        *LEDResources(  # C V L S
            pins="AG14 AF13 AE13 AJ14 AJ15 AH13 AH14 AL12", attrs=_LVCMOS33
        ),
        *ButtonResources(  # north, west, south, east, centre; C V S
            pins="AG15 AF15 AE15 AE14 AG13", attrs=_LVCMOS33
        ),
        *SwitchResources(  # C V S
            pins="AN14 AP14 AM14 AN13 AN12 AP12 AL13 AK13", attrs=_LVCMOS33
        ),
        # C V, names as the FPGA sees them; litex-boards has TX and RX the other way round
        UARTResource(0, rx="E13", tx="F13", rts="D12", cts="E12", role="dte", attrs=_LVCMOS33),
    ]
    connectors = [
        Connector("pmod", 0, "A20 B20 A22 A21 - - B21 C21 C22 D21 - -"),  # S
        Connector("pmod", 1, "D20 E20 D22 E22 - - F20 G20 J20 J19 - -"),  # S
    ]
