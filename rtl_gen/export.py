# SPDX-License-Identifier: Apache-2.0
"""Verilog of a configuration: the top module and, once each, the lane and the memory bank that it instantiates."""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.lane_chain import lane_verilog
from rtl_gen.axi.signatures import axi_ports
from rtl_gen.top import Accelerator
from rtl_gen.vector.activation_memory import bank_verilog
from rtl_gen.verilog import convert_component

__all__ = ["TOP_NAME", "generate_verilog", "verilog_ports"]

TOP_NAME = "meadow_top"


def _top_ports(top: Accelerator, config: AcceleratorConfig) -> dict[str, tuple[object, None]]:
    ports = axi_ports("s_axi", top.s_axi)
    for index in range(config.ports):
        ports |= axi_ports(f"m_axi{index}", getattr(top, f"m_axi{index}"))
    return {name: (signal, None) for name, signal in (ports | {"irq": top.irq}).items()}


def generate_verilog(config: AcceleratorConfig) -> str:
    """Verilog-2001 text with modules `meadow_top`, `meadow_lane` and `meadow_activation_bank`; the same bytes for the same configuration."""
    top = Accelerator(config=config, black_box=True)
    text = convert_component(top, name=TOP_NAME, ports=_top_ports(top, config))
    return "\n".join((text, lane_verilog(config), bank_verilog(config)))


def verilog_ports(config: AcceleratorConfig) -> list[dict[str, object]]:
    """Name and width of every port of `meadow_top` beside clk and rst, in order, for the manifest."""
    top = Accelerator(config=config, black_box=True)
    top._MustUse__silence = True  # only its ports are wanted
    ports = _top_ports(top, config)
    return [{"name": name, "width": len(signal)} for name, (signal, _) in ports.items()]
