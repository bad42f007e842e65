# SPDX-License-Identifier: Apache-2.0
"""Verilog of a configuration: the top module and, once each, the lane and the memory bank that it instantiates."""

from __future__ import annotations

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.interfaces.axi import axi_ports
from rtl_gen.lane.lane import Lane
from rtl_gen.lane.lane_chain import LANE_MODULE, lane_verilog
from rtl_gen.lane.lane_clock import gate_verilog
from rtl_gen.memory.activation_memory import bank_verilog
from rtl_gen.top import Accelerator

__all__ = ["TOP_NAME", "generate_rtlil", "generate_verilog", "verilog_ports"]

TOP_NAME = "meadow_top"


class _Pins(Elaboratable):
    """`top` with its clock and reset as pins; the reset is registered once, so that one register drives its fan-out."""

    def __init__(self, top: Accelerator) -> None:
        self.top = top
        self.clk = Signal()
        self.rst = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.domains.pins = pins = ClockDomain(local=True, reset_less=True)
        sync.clk = pins.clk = self.clk
        sync.rst = Signal(init=1, name="rst_registered")
        m.d.pins += sync.rst.eq(self.rst)
        m.submodules.accelerator = self.top
        return m


def _top_ports(top: Accelerator, config: AcceleratorConfig) -> dict[str, tuple[object, None]]:
    ports = axi_ports("s_axi", top.s_axi)
    for index in range(config.ports):
        ports |= axi_ports(f"m_axi{index}", getattr(top, f"m_axi{index}"))
    others = {
        name: getattr(top, name) for name in ("irq", "activity", "unit_command", "command_index")
    }
    return {name: (signal, None) for name, signal in (ports | others).items()}


def _top_pins(config: AcceleratorConfig) -> tuple[_Pins, dict[str, tuple[object, None]]]:
    top = Accelerator(config=config, black_box=True)
    pins = _Pins(top)
    return pins, {"clk": (pins.clk, None), "rst": (pins.rst, None)} | _top_ports(top, config)


def generate_rtlil(config: AcceleratorConfig) -> tuple[str, str]:
    """The modules below `meadow_top` and below `meadow_lane` for Yosys, with source lines, which the Verilog leaves out."""
    pins, ports = _top_pins(config)
    lane = rtlil.convert(Lane(config=config), name=LANE_MODULE)
    return rtlil.convert(pins, name=TOP_NAME, ports=ports), lane


def generate_verilog(config: AcceleratorConfig) -> str:
    """Verilog-2001 text with modules `meadow_top`, `meadow_lane`, `meadow_activation_bank` and `meadow_clock_gate`.

    The same bytes for the same configuration.
    """
    pins, ports = _top_pins(config)
    text = convert_component(pins, name=TOP_NAME, ports=ports)
    return "\n".join((text, lane_verilog(config), bank_verilog(config), gate_verilog()))


def verilog_ports(config: AcceleratorConfig) -> list[dict[str, object]]:
    """Name and width of every port of `meadow_top` beside clk and rst, in order, for the manifest."""
    top = Accelerator(config=config, black_box=True)
    top._MustUse__silence = True  # only its ports are wanted
    ports = _top_ports(top, config)
    return [{"name": name, "width": len(signal)} for name, (signal, _) in ports.items()]
