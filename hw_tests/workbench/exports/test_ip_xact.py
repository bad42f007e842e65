# SPDX-License-Identifier: Apache-2.0
"""The IP-XACT component: registers read back by an importer, and the AXI interfaces around them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree as Tree

import pytest
from peakrdl_ipxact.importer import IPXACTImporter
from systemrdl.compiler import RDLCompiler

from hw_tests.workbench.exports.cores import TOP, named_core
from hw_tests.workbench.exports.registers_seen import seen_registers
from workbench.exports.ip_xact import ip_xact
from workbench.exports.peakrdl import ip_xact_registers
from workbench.exports.rdl import register_map_rdl

SPACE = "{http://www.accellera.org/XMLSchema/IPXACT/1685-2014}"
AXI_LITE_PINS = 19


def _component(configuration: str) -> tuple[str, Tree.Element]:
    core = named_core(configuration)
    text = ip_xact(core, ip_xact_registers(core, register_map_rdl(core)))
    return text, Tree.fromstring(text)


def test_an_importer_reads_the_same_registers(tmp_path: Path) -> None:
    text, _ = _component("tiny")
    core = named_core("tiny")
    file = tmp_path / "core.xml"
    file.write_text(text, "utf-8")
    compiler = RDLCompiler()
    IPXACTImporter(compiler).import_file(str(file))
    seen = seen_registers(compiler.elaborate())
    assert set(seen) == {entry.offset for entry in core.registers}
    for entry in core.registers:
        name, fields = seen[entry.offset]
        assert name == f"{TOP}_{entry.name}"  # the importer names the block of registers too
        for field, (mask, software, _, reset, _) in fields.items():
            bit = next((bit for bit in entry.fields if bit.name == field), None)
            assert mask == (bit.mask if bit else entry.mask)
            access = bit.access if bit else entry.access
            assert software == {"ro": "r", "rw": "rw", "pulse": "w"}[access]
            assert reset == core.resets[entry.name] & mask


def test_interfaces_ports_and_files() -> None:
    core = named_core("small")
    text, component = _component("small")
    # The order that the schema of 1685-2014 has.
    assert [element.tag.removeprefix(SPACE) for element in component] == [
        *("vendor", "library", "name", "version"),
        *("busInterfaces", "addressSpaces", "memoryMaps", "model", "fileSets"),
    ]
    assert component.findtext(f"{SPACE}name") == TOP
    assert core.contract in text
    names = {port["name"]: port for port in core.ports}
    found = {}
    for interface in component.iter(f"{SPACE}busInterface"):
        pins = {
            pin.findtext(f"{SPACE}logicalPort/{SPACE}name"): pin.findtext(
                f"{SPACE}physicalPort/{SPACE}name"
            )
            for pin in interface.iter(f"{SPACE}portMap")
        }
        name = interface.findtext(f"{SPACE}name")
        kind = interface.find(f"{SPACE}busType")
        assert kind is not None
        found[name] = (kind.get("name"), interface.find(f"{SPACE}slave") is not None, len(pins))
        assert pins.pop("ACLK") == "clk"
        assert pins == {
            p.removeprefix(f"{name}_").upper(): p for p in names if p.startswith(str(name))
        }
    assert found == {
        "s_axi": ("AXI4Lite", True, AXI_LITE_PINS + 1),
        "m_axi0": ("AXI4", False, found["m_axi0"][2]),
        "m_axi1": ("AXI4", False, found["m_axi0"][2]),
    }
    ports = component.findall(f"{SPACE}model/{SPACE}ports/{SPACE}port")
    for port in ports:
        described = names[port.findtext(f"{SPACE}name") or ""]
        left = port.findtext(f".//{SPACE}left")
        assert int(left or 0) + 1 == described["width"]
        assert port.findtext(f".//{SPACE}direction") == described["direction"].removesuffix("put")
    assert len(ports) == len(names)
    # Everything that is referred to is there.
    reference = component.find(f".//{SPACE}memoryMapRef")
    assert reference is not None
    memory_map = component.findtext(f"{SPACE}memoryMaps/{SPACE}memoryMap/{SPACE}name")
    assert reference.get("memoryMapRef") == memory_map
    assert component.findtext(f".//{SPACE}addressBlock/{SPACE}range") == "'h1000"
    assert component.findtext(f".//{SPACE}file/{SPACE}name") == "meadow.v"


def test_a_component_without_registers_is_refused() -> None:
    core = dataclasses.replace(named_core("tiny"), top="lost")
    with pytest.raises(ValueError, match="the IP-XACT of lost has no memory map"):
        ip_xact(core, f'<component xmlns="{SPACE.strip("{}")}"/>')


def test_a_configuration_may_have_any_name() -> None:
    core = dataclasses.replace(named_core("tiny"), configuration="my---own--")
    text = ip_xact(core, ip_xact_registers(core, register_map_rdl(core)))
    assert Tree.fromstring(text).tag == f"{SPACE}component"
