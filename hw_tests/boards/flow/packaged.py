# SPDX-License-Identifier: Apache-2.0
"""Reads a Verilog module as Vivado's packager does: ports, and the interfaces of its attributes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hw_tests.boards.flow.tcl import TclError
from hw_tests.boards.flow.vivado_facts import (
    AXI_PARAMETERS,
    INTERFACE_TYPES,
    SIGNAL_PARAMETERS,
    Pin,
)

__all__ = ["Interface", "module_interfaces", "module_ports"]

_PORT = re.compile(
    r"((?:\(\*[^*]*\*\)\s*)*)\b(input|output)\s+wire\s*(?:\[(\d+):0\])?\s*(\w+)\s*[,)]"
)
_ATTRIBUTE = re.compile(r'\(\*\s*(\w+)\s*=\s*"([^"]*)"\s*\*\)')


@dataclass
class Interface:
    """An interface: its type, physical port and width by logical name, parameters, direction."""

    vlnv: str
    ports: dict[str, tuple[str, int]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """clock, reset, interrupt or aximm."""
        return self.vlnv.split(":")[2]

    @property
    def master(self) -> bool:
        """Whether it drives addresses."""
        return "AWVALID" in self.outputs

    def pin(self) -> Pin:
        """What a block design shows of it."""
        if self.kind != "aximm":
            polarity = self.parameters.get("POLARITY", "")
            return Pin(self.kind, out=bool(self.outputs), polarity=polarity)
        return Pin("axi", out=self.master, protocol=self.parameters["PROTOCOL"], clock="clk")


def module_ports(text: str, name: str) -> dict[str, tuple[str, int, dict[str, str]]]:
    """Port -> direction, width, attributes; TclError if there is no such module."""
    module = re.search(rf"^module {name} \((.*?)^\);", text, re.M | re.S)
    if module is None:
        raise TclError(f"there is no module {name}")
    return {
        port: (direction, int(top or 0) + 1, dict(_ATTRIBUTE.findall(attributes)))
        for attributes, direction, top, port in _PORT.findall(module[1] + ")")
    }


def _check_parameter(interface: Interface, name: str, value: str) -> None:
    known = AXI_PARAMETERS if interface.kind == "aximm" else SIGNAL_PARAMETERS[interface.kind]
    if name not in known:
        raise TclError(f"an interface {interface.vlnv} has no parameter {name}")
    values = known[name]
    if values is not None and value not in values:
        raise TclError(f"{name} of {interface.vlnv} cannot be {value}")


def module_interfaces(text: str, name: str) -> dict[str, Interface]:
    """The interfaces of a module by name; TclError for what is in no definition."""
    found: dict[str, Interface] = {}
    parameters: list[tuple[str, str, str]] = []
    for port, (direction, width, attributes) in module_ports(text, name).items():
        if "X_INTERFACE_INFO" not in attributes:
            raise TclError(f"port {port} belongs to no interface")
        vlnv, interface, logical = attributes["X_INTERFACE_INFO"].split()
        if vlnv not in INTERFACE_TYPES:
            raise TclError(f"there is no interface {vlnv}")
        if logical not in INTERFACE_TYPES[vlnv]:
            raise TclError(f"{vlnv} has no port {logical}")
        entry = found.setdefault(interface, Interface(vlnv))
        if entry.vlnv != vlnv or logical in entry.ports:
            raise TclError(f"{interface} has {logical} twice")
        entry.ports[logical] = (port, width)
        if direction == "output":
            entry.outputs.add(logical)
        for part in attributes.get("X_INTERFACE_PARAMETER", "").split(", "):
            if part:
                parameters.append((interface, *part.split(" ", 1)))
    for interface, key, value in parameters:
        if key == "XIL_INTERFACENAME":
            if value != interface:
                raise TclError(f"parameters of {value} stand at a port of {interface}")
            continue
        _check_parameter(found[interface], key, value)
        found[interface].parameters[key] = value
    return found
