# SPDX-License-Identifier: Apache-2.0
"""The description of a unit alone names every port of its Verilog and every bit of a payload."""

from __future__ import annotations

import re

import pytest

from meadow.spec.commands import COMMAND_BYTES, Command, Opcode
from meadow.spec.config import named_config
from rtl_gen.single.interfaces import (
    single_commands,
    single_interfaces,
    single_limits,
    single_ports,
)
from rtl_gen.single.roles import FIELD_MEANINGS, ROLES
from rtl_gen.single.unit import SINGLE_UNITS, single_name, single_verilog

_CONFIGS = ("tiny", "zcu102", "nano")


@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_the_ports_are_those_of_the_verilog(unit: str) -> None:
    config = named_config("tiny")
    verilog = single_verilog(unit, config)
    start = re.search(rf"^module {single_name(unit)}\(", verilog, re.M)
    assert start is not None
    body = verilog[start.end() :].split("endmodule", 1)[0]
    declared = re.findall(r"^  (input|output)(?: \[(\d+):0\])? (\w+) ?;", body, re.M)
    ports = single_ports(unit, config)
    assert {(port["direction"], port["width"], port["name"]) for port in ports} == {
        (direction, int(top or 0) + 1, name) for direction, top, name in declared
    }


@pytest.mark.parametrize("config", _CONFIGS)
@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_every_port_has_an_interface_and_every_bit_a_field(unit: str, config: str) -> None:
    chosen = named_config(config)
    interfaces = {entry["name"]: entry for entry in single_interfaces(unit, chosen)}
    ports = single_ports(unit, chosen)
    assert {port["interface"] for port in ports} == interfaces.keys() | {"clock", "reset"}
    assert all(port["role"] for port in ports)
    for name, entry in interfaces.items():
        own = {port["signal"]: port for port in ports if port["interface"] == name}
        wires = {
            "valid/ready": {"payload", "valid", "ready"},
            "valid": {"payload", "valid"},
            "level": {"level"},
        }.get(entry["handshake"])
        if wires is None:
            assert entry["handshake"] == "AXI4" and len(own) == 37
            continue
        assert own.keys() == wires
        data = own.get("payload", own.get("level"))
        assert data is not None and data["direction"] == entry["direction"]
        fields = entry["fields"]
        if fields:
            starts = [field["bit"] for field in fields]
            ends = [field["bit"] + field["bits"] for field in fields]
            assert starts == [0, *ends[:-1]] and ends[-1] == data["width"]


def test_no_word_is_said_about_what_is_not_there() -> None:
    said = {unit: set(roles) for unit, roles in ROLES.items()}
    there = {
        unit: {
            re.sub(r"__\d+", "", entry["name"])
            for entry in single_interfaces(unit, named_config("tiny"))
            if entry["handshake"] != "AXI4"
        }
        for unit in SINGLE_UNITS
    }
    assert said == there
    fields = {
        part
        for unit in SINGLE_UNITS
        for entry in single_interfaces(unit, named_config("tiny"))
        for field in entry.get("fields", [])
        for part in re.findall(r"[a-z_]+", field["name"])
    }
    assert fields == {name for meanings in FIELD_MEANINGS.values() for name in meanings}


@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_the_fields_of_commands_are_where_an_encoded_command_has_them(unit: str) -> None:
    for command in single_commands(unit):
        fields = {field["name"]: field for field in command["fields"]}
        assert all(field["meaning"] for field in fields.values())
        for name, field in fields.items():
            assert field["bit"] + field["bits"] <= 8 * COMMAND_BYTES
            if name in ("opcode", "index"):
                continue
            encoded = Command(Opcode[command["opcode"]], {name: 1}).encode()
            bits = int.from_bytes(encoded, "little")
            assert bits >> field["bit"] & ((1 << field["bits"]) - 1) == 1
            assert bits & 0xFF == command["value"]


def test_numbers_to_keep_to() -> None:
    config = named_config("tiny")
    assert single_limits("decoder", config) == {}
    assert single_limits("attention", config) == {"result_words_unretired_at_most": 64}
    assert single_limits("dma", config) == {"read_latency_cycles": 6}
