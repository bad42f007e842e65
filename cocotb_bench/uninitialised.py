# SPDX-License-Identifier: Apache-2.0
"""Generated Verilog whose registers and memories hold nothing when the power comes, for a simulator
of four states.

Verilog of an FPGA says what every register and memory holds at the start. Silicon without that, and
a register after a partial reconfiguration, hold anything: a design must need its reset only. Here
the initial values of all registers that a clock writes are removed, of those with a reset too, as
it gives them their value; so is the content of memories that are written. Tables keep theirs.
"""

from __future__ import annotations

import re

__all__ = ["without_initial_values"]

_NAME = r"(\\\S+ |[A-Za-z_]\w*)"
_MODULE = re.compile(r"^module .*?^endmodule\n", re.M | re.S)
_WRITTEN = re.compile(rf"^\s*(?:if \([^;\n]*\)\s*)?{_NAME}\s*(?:\[[^;]*?\]\s*)?<= ", re.M)
_REGISTER = re.compile(
    rf"^(\s*(?:\(\* [^\n]*? \*\) )?reg (?:\[[^\]]*\] )?){_NAME}\s*= [^;\n]*;", re.M
)
_LOOP = re.compile(rf"^    for \([^\n]*\)\n      {_NAME}\[[^\n]*;\n", re.M)
_WORD = re.compile(rf"^    {_NAME}\[\d+\] = [^\n]*;\n", re.M)


def without_initial_values(verilog: str) -> tuple[str, int, int]:
    """The text, and of how many registers and words or runs of words of memories the initial values
    were removed.
    """
    registers = words = 0

    def module(match: re.Match[str]) -> str:
        nonlocal registers, words
        body = match[0]
        written = {name.strip() for name in _WRITTEN.findall(body)}

        def register(found: re.Match[str]) -> str:
            nonlocal registers
            if found[2].strip() not in written:
                return found[0]  # a constant of the simulator, or what nothing writes
            registers += 1
            return f"{found[1]}{found[2]};"

        def word(found: re.Match[str]) -> str:
            nonlocal words
            if found[1].strip() not in written:
                return found[0]  # a table
            words += 1
            return ""

        return _WORD.sub(word, _LOOP.sub(word, _REGISTER.sub(register, body)))

    return _MODULE.sub(module, verilog), registers, words
