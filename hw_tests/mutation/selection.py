# SPDX-License-Identifier: Apache-2.0
"""The mutants of a text are chosen when a simulation begins, by `MUTANT_VARIABLE`."""

from __future__ import annotations

import re

from hw_tests.mutation.mutant import MUTANT_VARIABLE

__all__ = ["CONTROL", "CONTROL_BITS", "selectable"]

CONTROL = "meadow_mutant"
"""Name of the number of the mutant in Verilog."""
CONTROL_BITS = 12


def selectable(text: str) -> str:
    """The control input that `mutate` has led up to the top module becomes a register there, set
    when a simulation begins.
    """
    bits = f"[{CONTROL_BITS - 1}:0]"
    head, ports, body = re.split(r"^(module meadow_top\([^;]*;\n)", text, maxsplit=1, flags=re.M)
    top, end, rest = body.partition("endmodule\n")
    chosen = f'std::getenv(\\"{MUTANT_VARIABLE}\\")'
    register = f"""\
  reg {bits} {CONTROL};
  initial {CONTROL} = $c32("({chosen} ? std::atoi({chosen}) : 0)");
"""
    for line in (f"  input {bits} {CONTROL};\n", f"  wire {bits} {CONTROL};\n"):
        if line not in top:
            raise ValueError(f"the top module has no line {line!r}")
        top = top.replace(line, "")
    ports = re.sub(rf"(,\s*{CONTROL}\b|\b{CONTROL}\s*,)", "", ports)
    return "".join((head, ports, register, top, end, rest))
