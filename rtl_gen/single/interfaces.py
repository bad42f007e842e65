# SPDX-License-Identifier: Apache-2.0
"""Ports and interfaces of a unit alone, as its manifest names them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Member

from meadow.spec.commands import command_fields
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.reset import RESET_CYCLES
from rtl_gen.export import axi_role
from rtl_gen.interfaces.axi import Axi4Signature
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.result import writer_depth
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.single.roles import FIELD_MEANINGS, ROLES
from rtl_gen.single.unit import SINGLE_UNITS, flat_ports

__all__ = ["single_commands", "single_interfaces", "single_limits", "single_ports"]

_PAYLOADS = {
    "i_job": "job",
    "o_decode": "job",
    "o_tile__write": "tile",
    "i_tile__write": "tile",
    "o_parameter__write": "parameter",
    "i_parameter__write": "parameter",
    "o_result": "result",
    "o_write__word": "word",
    "o_norm": "word",
    "o_table": "word",
    "o_error": "fault",
    "step": "step",
}
"""Interface -> kind of its payload in FIELD_MEANINGS; the others have no fields."""

_PINS = (
    {"name": "clk", "interface": "clock", "role": "the clock of everything, at its rising edge"},
    {
        "name": "rst",
        "interface": "reset",
        "role": f"active high, synchronous to clk, to be held for {RESET_CYCLES} cycles at least; "
        "nothing may be offered in the 2 cycles behind it",
    },
)


def _described(unit: str, config: AcceleratorConfig) -> Component:
    """The component, of which only the ports are wanted: it is never elaborated, of which Amaranth
    would warn.
    """
    component = SINGLE_UNITS[unit].make(config)
    component._MustUse__silence = True
    return component


def _walk(members: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Member]]:
    """Streams, AXI4 interfaces and single signals below the members, by the beginning of their
    names.
    """
    for name, member in members.items():
        numbers = map(str, range(member.dimensions[0])) if member.dimensions else [""]
        for number in numbers:
            below = (*path, name, number) if number else (*path, name)
            if member.is_port or isinstance(member.signature, stream.Signature | Axi4Signature):
                yield "__".join(below), member
            else:
                yield from _walk(member.signature.members, below)


def _fields(layout: Any, kind: str, first: int = 0, before: str = "") -> list[dict[str, Any]]:
    """The fields of a layout from its lowest bit on, those of nested ones with their paths."""
    found: list[dict[str, Any]] = []
    if not isinstance(layout, data.Layout):
        return found
    for key, field in layout:
        name = f"{before}{key}" if isinstance(key, str) else f"{before[:-1]}[{key}]"
        if isinstance(field.shape, data.Layout):
            found += _fields(field.shape, kind, first + field.offset, f"{name}.")
            continue
        shape = Shape.cast(field.shape)
        found.append(
            {
                "name": name,
                "bit": first + field.offset,
                "bits": field.width,
                "signed": shape.signed,
                "meaning": FIELD_MEANINGS[kind][str(key)],
            }
        )
    return found


def single_interfaces(unit: str, config: AcceleratorConfig) -> list[dict[str, Any]]:
    """Interfaces of the unit in order.

    name: what the names of its ports begin with. direction: "input" or "output", that of the data.
    handshake: "valid/ready": a payload is taken in a cycle in which both are 1, and what is offered
    stays until then; "valid": it must be taken in the cycle in which valid is 1; "level": a signal
    that counts in every cycle; "AXI4". role: what it is for. fields: of the payload, each with its
    lowest bit; none if it is one number.
    """
    component = _described(unit, config)
    described = []
    for name, member in _walk(component.signature.members):
        if not member.is_port and isinstance(member.signature, Axi4Signature):
            axi = {"handshake": "AXI4", "role": "AXI4 master, DMA window"}
            described.append({"name": name.replace("__", ""), "direction": "output"} | axi)
            continue
        kind, payload = "level", member
        if not member.is_port:
            kind = "valid" if member.signature.always_ready else "valid/ready"
            payload = member.signature.members["payload"]
        key = re.sub(r"__\d+", "", name)
        described.append(
            {
                "name": name,
                "direction": "input" if payload.flow == In else "output",
                "handshake": kind,
                "role": ROLES[unit][key],
                "fields": _fields(payload.shape, _PAYLOADS.get(key, "")),
            }
        )
    return described


def single_ports(unit: str, config: AcceleratorConfig) -> list[dict[str, Any]]:
    """Every port of the unit in order: name, width and direction; interface: which of
    `single_interfaces` it belongs to, "clock" or "reset"; signal: "valid", "ready", "payload" or
    "level", or its AXI name; role.
    """
    component = _described(unit, config)
    interfaces = {entry["name"]: entry for entry in single_interfaces(unit, config)}
    ports: list[dict[str, Any]] = [
        {"name": pin["name"], "width": 1, "direction": "input", "signal": "level"} | pin
        for pin in _PINS
    ]
    for name, (port, is_input) in flat_ports(component).items():
        interface, separator, signal = name.rpartition("_" if name.startswith("m_axi") else "__")
        whole = name in interfaces or not separator
        entry = {
            "name": name,
            "width": len(port),
            "direction": "input" if is_input else "output",
            "interface": name if whole else interface,
            "signal": "level" if whole else signal,
        }
        if name.startswith("m_axi"):
            entry["role"] = axi_role(name)["role"]
        else:
            entry["role"] = interfaces[entry["interface"]]["role"]
        ports.append(entry)
    return ports


def single_commands(unit: str) -> list[dict[str, Any]]:
    """The commands that a unit is given, with their fields; all other bits are of no account.

    A command's index, which comes back with what it does, stands where a program has `wait`,
    `condition` and `flags`: those are the sequencer's.
    """
    described = []
    for opcode in SINGLE_UNITS[unit].commands:
        fields: list[dict[str, Any]] = [
            {"name": "opcode", "bit": 0, "bits": 8, "signed": False, "meaning": str(opcode.value)},
            {
                "name": "index",
                "bit": 8,
                "bits": INDEX_BITS,
                "signed": False,
                "meaning": "any number, which comes back with what the command does",
            },
        ]
        first = 0
        for field in command_fields(opcode):
            if first >= 8 + INDEX_BITS:
                fields.append(
                    {
                        "name": field.name,
                        "bit": first,
                        "bits": field.bits,
                        "signed": field.signed,
                        "meaning": field.doc,
                    }
                )
            first += field.bits
        described.append({"opcode": opcode.name, "value": opcode.value, "fields": fields})
    return described


def single_limits(unit: str, config: AcceleratorConfig) -> dict[str, int]:
    """Numbers that who connects the unit has to keep to."""
    if unit == "attention":
        return {"result_words_unretired_at_most": writer_depth(config)}
    if unit == "dma":
        return {"read_latency_cycles": ActivationMemory.READ_LATENCY["storer"]}
    return {}
