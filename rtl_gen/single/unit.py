# SPDX-License-Identifier: Apache-2.0
"""Units of the accelerator that are of use alone, each as a top module of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amaranth.hdl import Const, Elaboratable, Module, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.array import Array
from rtl_gen.blocks.prefix import PREFIX
from rtl_gen.blocks.reset import clocked_by_pins
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.dma.controller import DmaController
from rtl_gen.interfaces.axi import Axi4Signature
from rtl_gen.lane.lane_chain import lane_verilog
from rtl_gen.lane.lane_clock import gate_verilog

__all__ = ["SINGLE_UNITS", "SingleUnit", "flat_ports", "single_name", "single_verilog"]


@dataclass(frozen=True)
class SingleUnit:
    """A unit alone.

    summary: what it does, in a sentence. make: the component of a configuration. lanes: its lanes
    are instances of modules that are converted by themselves. commands: opcodes that it is given.
    """

    summary: str
    make: Callable[[AcceleratorConfig], wiring.Component]
    lanes: bool = False
    commands: tuple[Opcode, ...] = ()


SINGLE_UNITS: Mapping[str, SingleUnit] = {
    "decoder": SingleUnit(
        "Decoder of packed weights of one memory port: 16-byte beats of weight streams and of the "
        "K/V cache become rows of W x W tiles and parameters of output channels.",
        lambda config: Decoder(config=config),
    ),
    "attention": SingleUnit(
        "Attention engine: T token lanes with tile buffer and online softmax. It is given queries, "
        "and tiles of keys and values; scores and probabilities stay inside. With tiles of "
        "weights it multiplies matrices.",
        lambda config: Array(config=config, black_box=True),
        lanes=True,
        commands=(Opcode.ATTEND, Opcode.MATMUL),
    ),
    "dma": SingleUnit(
        "DMA controller: P AXI4 masters with fetch unit, loader and storer. It turns commands into "
        "bursts, and beats into words of an on-chip memory and back.",
        lambda config: DmaController(config=config),
        commands=(Opcode.LOAD, Opcode.STORE, Opcode.MATMUL, Opcode.ATTEND),
    ),
}
"""The units that `meadow generate --unit` knows, by name."""


class _Pins(Elaboratable):
    """The unit with clock and reset as pins; the reset is registered before it reaches the unit."""

    def __init__(self, unit: wiring.Component) -> None:
        self.unit = unit
        self.clk = Signal()
        self.rst = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reset = Signal(name="unit_reset")
        m.d.comb += reset.eq(clocked_by_pins(m, self.clk, self.rst))
        m.submodules.unit = ResetInserter(reset)(self.unit)
        return m


def single_name(unit: str, prefix: str = PREFIX) -> str:
    """The top module's name."""
    return f"{prefix}_{unit}"


def flat_ports(component: wiring.Component) -> dict[str, tuple[Value, bool]]:
    """The members of a component by their names in Verilog, each with whether it is an input: the
    parts of a path joined by `__`, an AXI4 interface by its AXI names behind one `_`
    (`m_axi0_araddr`). `ready` of a stream without back-pressure is no port.
    """
    members = component.signature.members
    axi = [
        name
        for name, member in members.items()
        if member.is_signature and isinstance(member.signature, Axi4Signature)
    ]
    ports: dict[str, tuple[Value, bool]] = {}
    for path, member, port in component.signature.flatten(component):
        value = Value.cast(port)
        if path[0] in axi:
            interface, index, signal = path
            name = f"{interface}{index}_{signal}"
        else:
            name = "__".join(map(str, path))
        if not isinstance(value, Const):
            ports[name] = value, member.flow == In
    return ports


def single_verilog(unit: str, config: AcceleratorConfig) -> str:
    """Verilog-2001 text of the unit as module `single_name(unit)`, and of what it instantiates by
    name. The same bytes for the same configuration.
    """
    single = SINGLE_UNITS[unit]
    pins = _Pins(single.make(config))
    ports = {name: (value, None) for name, (value, _) in flat_ports(pins.unit).items()}
    text = convert_component(
        pins,
        name=single_name(unit),
        ports={"clk": (pins.clk, None), "rst": (pins.rst, None)} | ports,
    )
    beside = (lane_verilog(config), gate_verilog()) if single.lanes else ()
    return "\n".join((text, *beside))
