# SPDX-License-Identifier: Apache-2.0
"""A block between registers, so that it can be placed on a device that has fewer pins than the
block has ports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["HARNESS_MODULE", "Port", "harness_verilog", "module_ports"]

HARNESS_MODULE = "harness"
"""Its pins are clk, given and folded."""

_FOLD = 4
"""Bits that one level of the fold takes together: what one LUT4 can."""


@dataclass(frozen=True)
class Port:
    """A port of a module; width in bits."""

    name: str
    width: int
    is_input: bool


def module_ports(rtlil: str, module: str) -> list[Port]:
    """The ports of a module of an RTLIL text; ValueError if it is not there."""
    body = re.search(rf"^module \\{re.escape(module)}\n(.*?)^end\n", rtlil, re.M | re.S)
    if body is None:
        raise ValueError(f"there is no module {module} to route")
    port = r"^  wire width (\d+) (input|output) \d+ +(?:signed )?\\(\S+)$"
    lines = re.findall(port, body[1], re.M)
    return [Port(name, int(width), flow == "input") for width, flow, name in lines]


def harness_verilog(module: str, ports: list[Port]) -> str:
    """Verilog of `HARNESS_MODULE` around `module`.

    Every input bit but `clk` comes out of a register of one long shift register that `given`
    fills; every output bit goes straight into a register, and those are folded by XOR, four at a
    time with a register after each, into `folded`. So nothing of the block is optimised away, every
    path at its border has one end in a register beside it, and what the harness adds to a path is
    the XOR of four bits.
    """
    inputs = [port for port in ports if port.is_input and port.name != "clk"]
    outputs = [port for port in ports if not port.is_input]
    given, taken = sum(port.width for port in inputs), sum(port.width for port in outputs)
    if not given or not taken:
        raise ValueError(f"module {module} has no inputs or no outputs: nothing to route")
    pins = [f".{_escaped(port.name)}(clk)" for port in ports if port.name == "clk"]
    for kind, vector in ((inputs, "shifted"), (outputs, "results")):
        first = 0
        for port in kind:
            bits = f"{vector}[{first + port.width - 1}:{first}]"
            pins.append(f".{_escaped(port.name)}({bits})")
            first += port.width
    levels, steps, width = ["level0"], [], taken
    declared = [f"  reg [{taken - 1}:0] level0;"]
    while width > 1:
        number, below, before = len(levels), levels[-1], width
        width = (width + _FOLD - 1) // _FOLD
        levels.append(f"level{number}")
        declared.append(f"  reg [{width - 1}:0] level{number};")
        for bit in range(width):
            last = min(before, _FOLD * (bit + 1)) - 1
            steps.append(f"    level{number}[{bit}] <= ^{below}[{last}:{_FOLD * bit}];")
    shift = "given" if given == 1 else f"{{shifted[{given - 2}:0], given}}"
    return "\n".join(
        (
            f"module {HARNESS_MODULE}(input clk, input given, output folded);",
            f"  reg [{given - 1}:0] shifted;",
            f"  wire [{taken - 1}:0] results;",
            *declared,
            f"  {_escaped(module)}block ({', '.join(pins)});",
            f"  assign folded = {levels[-1]}[0];",
            "  always @(posedge clk) begin",
            f"    shifted <= {shift};",
            "    level0 <= results;",
            *steps,
            "  end",
            "endmodule\n",
        )
    )


def _escaped(name: str) -> str:
    """An identifier of Verilog of any characters, which ends at a space."""
    return f"\\{name} "
