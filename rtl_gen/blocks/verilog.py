# SPDX-License-Identifier: Apache-2.0
"""Conversion of one component to Verilog text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import Const, Elaboratable, Value
from amaranth.lib import wiring

__all__ = ["component_ports", "convert_component", "fold_initial_values", "settle_constants"]

_MODULE = re.compile(r"^module .*?\);\n(?:.*?)^endmodule\n", re.M | re.S)
_CONSTANT = re.compile(r"^  always @\*\n    (\S[^\n]*? = \d+'[hd][0-9a-fx]+;)\n", re.M)
_SETTLED = "meadow_settled"
_INITIAL = re.compile(r"^    (\\\S+ |\w+)\[(\d+)\] = (\d+'h[0-9a-f]+);\n", re.M)
_INDEX = "meadow_index"
_SHORTEST_RUN = 8


def settle_constants(text: str) -> str:
    """Make `always @*` blocks that only assign a constant run once.

    Yosys writes a constant part of a signal as `always @* x[7:4] = 4'h1;`. With nothing to be
    sensitive to, such a block never runs in a simulator that follows IEEE 1364 (Verilator:
    ALWNEVER), although synthesis takes the constant. Such blocks get a reference to a register that
    is 0 from the start, as Yosys itself does for conditional ones.
    """

    def module(match: re.Match[str]) -> str:
        block, count = _CONSTANT.subn(
            rf"  always @* begin\n    if ({_SETTLED}) begin end\n    \1\n  end\n", match[0]
        )
        if not count:
            return block
        return block.replace(");\n", f");\n  reg {_SETTLED} = 0;\n", 1)

    return _MODULE.sub(module, text)


def fold_initial_values(text: str) -> str:
    """Write equal initial values of neighbouring memory words as one loop.

    Yosys writes one assignment per word, which is most of what a simulator has to compile for a
    large memory.
    """

    def module(match: re.Match[str]) -> str:
        body, out, end, folded = match[0], [], 0, False
        run: list[re.Match[str]] = []

        def flush() -> None:
            nonlocal folded
            if len(run) < _SHORTEST_RUN:
                out.extend(word[0] for word in run)
            elif run:
                folded = True
                name, first, value = run[0].groups()
                last = run[-1][2]
                out.append(
                    f"    for ({_INDEX} = {first}; {_INDEX} <= {last}; {_INDEX} = {_INDEX} + 1)\n"
                    f"      {name}[{_INDEX}] = {value};\n"
                )
            run.clear()

        for word in _INITIAL.finditer(body):
            follows = (
                run
                and word.start() == end
                and (word[1], word[3]) == (run[-1][1], run[-1][3])
                and int(word[2]) == int(run[-1][2]) + 1
            )
            if not follows:
                flush()
            out.append(body[end : word.start()])
            run.append(word)
            end = word.end()
        flush()
        out.append(body[end:])
        text = "".join(out)
        return text.replace(");\n", f");\n  integer {_INDEX};\n", 1) if folded else text

    return _MODULE.sub(module, text)


@contextmanager
def _own_yosys() -> Iterator[None]:
    """Have Amaranth run the Yosys that is pinned with it, whatever the environment asks for: the
    text depends on it.

    It is run as `python -m`, which would look for modules in the working directory first.
    """
    own = {"AMARANTH_USE_YOSYS": "builtin", "PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def component_ports(component: wiring.Component) -> dict[str, tuple[Any, None]]:
    """The flattened members of a component by their names in Verilog, without constant ones:
    `ready` of a stream without back-pressure is no port.
    """
    return {
        "__".join(str(part) for part in path): (Value.cast(value), None)
        for path, _, value in component.signature.flatten(component)
        if not isinstance(Value.cast(value), Const)
    }


def convert_component(
    component: wiring.Component | Elaboratable,
    *,
    name: str,
    ports: dict[str, tuple[Any, None]] | None = None,
) -> str:
    """Verilog-2001 of `component` as module `name`: the same bytes for the same component.

    ports: {Verilog name: (signal, None)}; by default `component_ports`.
    """
    if ports is None:
        ports = component_ports(component)
    with _own_yosys():
        text = verilog.convert(
            component, name=name, ports=ports, strip_internal_attrs=True, emit_src=False
        )
    return fold_initial_values(settle_constants(text))
