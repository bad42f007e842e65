# SPDX-License-Identifier: Apache-2.0
"""Conversion of one component to Verilog text."""

from __future__ import annotations

import os
import re
from typing import Any

from amaranth.back import verilog
from amaranth.lib import wiring

__all__ = ["convert_component", "settle_constants"]

_MODULE = re.compile(r"^module .*?\);\n(?:.*?)^endmodule\n", re.M | re.S)
_CONSTANT = re.compile(r"^  always @\*\n    (\S[^\n]*? = \d+'h[0-9a-fx]+;)\n", re.M)
_SETTLED = "meadow_settled"


def settle_constants(text: str) -> str:
    """Make `always @*` blocks that only assign a constant run once.

    Yosys writes a constant part of a signal as `always @* x[7:4] = 4'h1;`. With nothing to be sensitive to, such a
    block never runs in a simulator that follows IEEE 1364 (Verilator: ALWNEVER), although synthesis takes the constant.
    Such blocks get a reference to a register that is 0 from the start, as Yosys itself does for conditional ones.
    """

    def module(match: re.Match[str]) -> str:
        block, count = _CONSTANT.subn(
            rf"  always @* begin\n    if ({_SETTLED}) begin end\n    \1\n  end\n", match[0]
        )
        if not count:
            return block
        return block.replace(");\n", f");\n  reg {_SETTLED} = 0;\n", 1)

    return _MODULE.sub(module, text)


def convert_component(
    component: wiring.Component, *, name: str, ports: dict[str, tuple[Any, None]] | None = None
) -> str:
    """Verilog-2001 of `component` as module `name`: the same bytes for the same component.

    ports: {Verilog name: (signal, None)}; by default the flattened members of the component.
    """
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"  # the same text on every machine
    text = verilog.convert(
        component, name=name, ports=ports, strip_internal_attrs=True, emit_src=False
    )
    return settle_constants(text)
