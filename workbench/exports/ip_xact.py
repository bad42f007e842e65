# SPDX-License-Identifier: Apache-2.0
"""IP-XACT 2014 of the core: the registers from PeakRDL, and around them what its exporter does not
write, the AXI interfaces, ports and files.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as Tree

from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import LAST_OFFSET
from workbench.exports.core import VERILOG_NAME, Core

__all__ = ["ip_xact"]

_SPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_PREFIX = f"{{{_SPACE}}}"
_WINDOW = "dma_window"
_VIEW = "rtl"
_DIRECTIONS = {"input": "in", "output": "out"}


def _add(parent: Tree.Element, tag: str, text: object = None, **attributes: str) -> Tree.Element:
    element = Tree.SubElement(parent, _PREFIX + tag, attributes)
    element.text = None if text is None else str(text)
    return element


def _bus_type(parent: Tree.Element, tag: str, name: str) -> None:
    """A reference to ARM's definitions of AXI, which IP-XACT tools bring along."""
    _add(parent, tag, vendor="amba.com", library="AMBA4", name=name, version="r0p0_0")


def _bus_interface(parent: Tree.Element, core: Core, name: str, memory_map: str) -> None:
    lite = name == "s_axi"
    bus = "AXI4Lite" if lite else "AXI4"
    interface = _add(parent, "busInterface")
    _add(interface, "name", name)
    _bus_type(interface, "busType", bus)
    kind = _add(_add(interface, "abstractionTypes"), "abstractionType")
    _bus_type(kind, "abstractionRef", f"{bus}_rtl")
    maps = _add(kind, "portMaps")
    signals = {"ACLK": "clk"} | {
        port["name"].removeprefix(f"{name}_").upper(): port["name"]
        for port in core.ports
        if port["interface"] == name
    }
    for logical, physical in signals.items():
        port_map = _add(maps, "portMap")
        _add(_add(port_map, "logicalPort"), "name", logical)
        _add(_add(port_map, "physicalPort"), "name", physical)
    if lite:
        _add(_add(interface, "slave"), "memoryMapRef", memoryMapRef=memory_map)
    else:
        _add(_add(interface, "master"), "addressSpaceRef", addressSpaceRef=_WINDOW)


def _port(parent: Tree.Element, described: dict[str, Any]) -> None:
    port = _add(parent, "port")
    _add(port, "name", described["name"])
    _add(port, "description", described["role"])
    wire = _add(port, "wire")
    _add(wire, "direction", _DIRECTIONS[described["direction"]])
    if described["width"] > 1:
        vector = _add(_add(wire, "vectors"), "vector")
        _add(vector, "left", described["width"] - 1)
        _add(vector, "right", 0)


def _model(core: Core) -> Tree.Element:
    model = Tree.Element(f"{_PREFIX}model")
    view = _add(_add(model, "views"), "view")
    _add(view, "name", _VIEW)
    _add(view, "componentInstantiationRef", _VIEW)
    instance = _add(_add(model, "instantiations"), "componentInstantiation")
    _add(instance, "name", _VIEW)
    _add(instance, "language", "verilog")
    _add(instance, "moduleName", core.top)
    _add(_add(instance, "fileSetRef"), "localName", _VIEW)
    ports = _add(model, "ports")
    for described in core.ports:
        _port(ports, described)
    return model


def _file_sets() -> Tree.Element:
    sets = Tree.Element(f"{_PREFIX}fileSets")
    files = _add(sets, "fileSet")
    _add(files, "name", _VIEW)
    file = _add(files, "file")
    _add(file, "name", VERILOG_NAME)
    _add(file, "fileType", "verilogSource-2005")
    return sets


def ip_xact(core: Core, registers: str) -> str:
    """A component whose registers are those of the IP-XACT text `registers`."""
    Tree.register_namespace("ipxact", _SPACE)
    Tree.register_namespace("xsi", _SCHEMA)
    component = Tree.fromstring(registers)
    maps = component.find(f"{_PREFIX}memoryMaps")
    memory_map = "" if maps is None else maps.findtext(f".//{_PREFIX}name") or ""
    block = component.find(f".//{_PREFIX}addressBlock")
    if maps is None or block is None:
        raise ValueError(f"the IP-XACT of {core.top} has no memory map")
    # The slave answers in all of its address space, also where there is no register.
    for element in block.findall(f"{_PREFIX}range"):
        element.text = f"'h{LAST_OFFSET + 4:x}"
    interfaces = Tree.Element(f"{_PREFIX}busInterfaces")
    for name in (*core.interfaces("s_axi"), *core.interfaces("m_axi")):
        _bus_interface(interfaces, core, name, memory_map)
    spaces = Tree.Element(f"{_PREFIX}addressSpaces")
    space = _add(spaces, "addressSpace")
    _add(space, "name", _WINDOW)
    _add(space, "range", f"'h{1 << core.config.address_bits:x}")
    _add(space, "width", 8 * BEAT_BYTES)
    # The schema wants this order.
    place = list(component).index(maps)
    component[place:place] = [interfaces, spaces]
    component.extend([_model(core), _file_sets()])
    Tree.indent(component)
    text = Tree.tostring(component, "unicode")
    # A comment takes no two dashes, which the name of a user's file may have.
    heading = " ".join(core.heading("IP-XACT component", "").split())
    heading = re.sub("-(?=-)", "- ", heading)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {heading} -->\n{text}\n'
