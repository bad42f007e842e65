# SPDX-License-Identifier: Apache-2.0
"""Netlists of single components."""

from __future__ import annotations

from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from boards.synthesis.chip_blocks import Block
from boards.synthesis.flow import synthesise
from boards.synthesis.netlist import Netlist
from rtl_gen.blocks.verilog import component_ports

__all__ = ["synthesised"]


def synthesised(component: wiring.Component, folder: Path, *, verilog: str = "") -> Netlist:
    """The netlist that Yosys makes of a component, in the empty `folder`; `verilog` is of modules
    that it instantiates by name.
    """
    text = rtlil.convert(component, name="part", ports=component_ports(component))
    synthesise(Block(name="part", copies=1, text=text, verilog=verilog), folder)
    return Netlist.read(folder / "netlist.json")
