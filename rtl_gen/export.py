# SPDX-License-Identifier: Apache-2.0
"""Verilog of a configuration: the top module and, once each, the lane and the memory bank that it
instantiates.
"""

from __future__ import annotations

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib.wiring import In

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.prefix import top_name
from rtl_gen.blocks.reset import RESET_CYCLES, clocked_by_pins
from rtl_gen.blocks.verilog import component_ports, convert_component
from rtl_gen.interfaces.activity import activity_items, activity_units
from rtl_gen.interfaces.axi import axi_ports
from rtl_gen.interfaces.members import members
from rtl_gen.lane.lane import Lane
from rtl_gen.lane.lane_chain import LANE_MODULE, lane_verilog
from rtl_gen.lane.lane_clock import gate_verilog
from rtl_gen.memory.activation_bank import bank_verilog
from rtl_gen.top import Accelerator

__all__ = ["TOP_NAME", "axi_role", "generate_rtlil", "generate_verilog", "verilog_ports"]

TOP_NAME = top_name()

_PINS: dict[str, dict[str, object]] = {
    "clk": {
        "interface": "clock",
        "polarity": "rising edge",
        "role": "the clock of everything, all interfaces included",
    },
    "rst": {
        "interface": "reset",
        "polarity": "active high, synchronous to clk",
        "role": f"resets everything; to be held for {RESET_CYCLES} cycles at least",
    },
    "irq": {
        "interface": "interrupt",
        "polarity": "active high, level",
        "role": "a program has ended; falls with ACKNOWLEDGE (bit INTERRUPT of register `status`)",
    },
    "activity": {
        "interface": "debug",
        "polarity": "active high, one cycle for each cycle in which it happens",
        "role": "what the chip is doing, for a logic analyser: `bits` from bit 0 on; may be left "
        "open",
    },
    "unit_command": {
        "interface": "debug",
        "role": "index of the command that each unit works on, for a logic analyser: `fields` of "
        "equal width from bit 0 on; may be "
        "left open",
    },
    "command_index": {
        "interface": "debug",
        "role": "commands executed so far (register `command_index`); may be left open",
    },
}
_CHANNELS = {
    "aw": "write address",
    "ar": "read address",
    "w": "write data",
    "b": "write response",
    "r": "read data",
}
"""AXI channels by the beginning of their signals, longer ones first."""


class _Pins(Elaboratable):
    """`top` with its clock and reset as pins; the reset is registered before it is shared out to
    the blocks.
    """

    def __init__(self, top: Accelerator) -> None:
        self.top = top
        self.clk = Signal()
        self.rst = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.top.reset.eq(clocked_by_pins(m, self.clk, self.rst))
        m.submodules.accelerator = self.top
        return m


def _top_ports(top: Accelerator, config: AcceleratorConfig) -> dict[str, tuple[object, None]]:
    ports = axi_ports("s_axi", top.s_axi)
    for index in range(config.ports):
        ports |= axi_ports(f"m_axi{index}", top.m_axi[index])
    others = {
        name: members(top)[name] for name in ("irq", "activity", "unit_command", "command_index")
    }
    return {name: (signal, None) for name, signal in (ports | others).items()}


def _top_pins(config: AcceleratorConfig) -> tuple[_Pins, dict[str, tuple[object, None]]]:
    top = Accelerator(config=config, black_box=True)
    pins = _Pins(top)
    return pins, {"clk": (pins.clk, None), "rst": (pins.rst, None)} | _top_ports(top, config)


def generate_rtlil(config: AcceleratorConfig) -> tuple[str, str]:
    """The modules below `meadow_top` and below `meadow_lane` for Yosys, with source lines, which
    the Verilog leaves out.
    """
    pins, ports = _top_pins(config)
    lane = Lane(config=config)
    lane_text = rtlil.convert(lane, name=LANE_MODULE, ports=component_ports(lane))
    return rtlil.convert(pins, name=TOP_NAME, ports=ports), lane_text


def generate_verilog(config: AcceleratorConfig) -> str:
    """Verilog-2001 text of `meadow_top` and of what it instantiates by name: `meadow_lane`,
    `meadow_activation_bank`, `meadow_clock_gate`.

    Below `meadow_top` and `meadow_lane` each unit is a module of its own, named by its path
    (`meadow_top.accelerator.decoder0`), some two hundred in `tiny`. The same bytes for the same
    configuration.
    """
    pins, ports = _top_pins(config)
    text = convert_component(pins, name=TOP_NAME, ports=ports)
    return "\n".join((text, lane_verilog(config), bank_verilog(config), gate_verilog()))


def verilog_ports(config: AcceleratorConfig) -> list[dict[str, object]]:
    """Every port of `meadow_top` in order, for the manifest.

    name, width and direction ("input" or "output"); interface: "clock", "reset", "interrupt",
    "debug", or the prefix of an AXI interface, `s_axi` or `m_axi<p>`; role: what it is for;
    polarity, where there is one; bits of `activity` and fields of
    `unit_command`: names from bit 0 on, all of one width.
    """
    top = Accelerator(config=config, black_box=True)
    top._MustUse__silence = True  # only its ports are wanted
    flows = {id(port): member.flow for _, member, port in top.signature.flatten(top)}
    described: list[dict[str, object]] = [
        {"name": name, "width": 1, "direction": "input", **_PINS[name]} for name in ("clk", "rst")
    ]
    for name, (port, _) in _top_ports(top, config).items():
        entry = {
            "name": name,
            "width": len(port),
            "direction": "input" if flows[id(port)] == In else "output",
        }
        described.append(entry | (axi_role(name) if "axi" in name else _PINS[name]))
        if name == "activity":
            described[-1]["bits"] = list(activity_items(config))
        elif name == "unit_command":
            described[-1]["fields"] = [unit.name for unit in activity_units(config)]
    return described


def axi_role(name: str) -> dict[str, object]:
    """The interface of a port with a flat AXI name, and its role."""
    interface, _, signal = name.rpartition("_")
    kind = "AXI4-Lite slave, registers" if interface == "s_axi" else "AXI4 master, DMA window"
    channel = next(text for prefix, text in _CHANNELS.items() if signal.startswith(prefix))
    return {"interface": interface, "role": f"{kind}: {channel}, {signal.upper()}"}
