# SPDX-License-Identifier: Apache-2.0
"""Verilog in the place of a component in Amaranth's simulator, so that one bench tries both.

    unit = VerilogUnit(single_verilog("decoder", config), single_name("decoder"), component)
    VerilogRig(unit)

`unit` has the members of `component`, and `rst`.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, Module, Signal, Value
from amaranth.lib import wiring

from cosim.cache import cache_directory, content_hash, obtain
from cosim.verilator_tool import compiler_identity, find_verilator, tool_environment
from hw_tests.streams import Rig
from rtl_gen.blocks.reset import RESET_CYCLES
from rtl_gen.single.unit import flat_ports

__all__ = ["VerilogRig", "VerilogUnit"]

_LIBRARY = "libunit.so"
_OPTIONS = ("--cc", "--exe", "--prefix", "Vunit", "-O3", "--no-timing", "-Wno-fatal", "-Wno-lint")
_STOPPED_CLOCK = "+define+MEADOW_SIMULATE_CLOCK_GATE"
_WORD_BITS = 32


class VerilogUnit(wiring.Component):
    """Behaves as the module `top` of `verilog` does in Verilator.

    component: what the Verilog was made of, whose signature it has.
    cycles: after `record`, the ports by name as they were before each edge of the clock.
    """

    def __init__(self, verilog: str, top: str, component: wiring.Component) -> None:
        component._MustUse__silence = True  # only its ports are wanted
        super().__init__(component.signature)
        self.rst = Signal()
        self.domain = ClockDomain("sync", reset_less=True)
        self.cycles: list[dict[str, int]] = []
        ports = flat_ports(self)
        self._inputs: dict[str, Value] = {"rst": self.rst}
        self._inputs |= {name: port for name, (port, is_input) in ports.items() if is_input}
        self._outputs = {name: port for name, (port, is_input) in ports.items() if not is_input}
        self._library = _library(_built(verilog, top, ["clk", *self._inputs, *self._outputs]))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = self.domain
        driven = Signal()  # a domain without a register has no clock
        m.d.sync += driven.eq(1)
        return m

    async def process(self, ctx: Any) -> None:
        """For `Simulator.add_process`: a new simulation of the Verilog, some cycles after reset."""
        unit = self._library.unit_new()
        for cycle in range(2 * RESET_CYCLES):
            self._put(unit, 1, cycle < RESET_CYCLES, 1)
            for clock in (0, 1):
                self._put(unit, 0, clock, 1)
                self._library.unit_eval(unit)
        inputs, outputs = list(self._inputs.values()), list(self._outputs.values())
        seen = [0] * len(outputs)
        clock = 0
        self.cycles.clear()
        async for now, *values in ctx.changed(self.domain.clk, *inputs):
            if now and not clock:
                self.cycles.append(
                    dict(zip((*self._inputs, *self._outputs), (*values, *seen), strict=True))
                )
            clock = now
            self._put(unit, 0, clock, 1)
            for number, (port, value) in enumerate(zip(inputs, values, strict=True), 1):
                self._put(unit, number, value, len(port))
            self._library.unit_eval(unit)
            for place, port in enumerate(outputs):
                seen[place] = self._take(unit, 1 + len(inputs) + place, len(port))
                ctx.set(port, seen[place])

    def _put(self, unit: int, number: int, value: int, bits: int) -> None:
        words = -(-bits // _WORD_BITS)
        value &= (1 << bits) - 1
        self._library.unit_set(unit, number, value.to_bytes(4 * words, "little"))

    def _take(self, unit: int, number: int, bits: int) -> int:
        buffer = ctypes.create_string_buffer(4 * -(-bits // _WORD_BITS))
        self._library.unit_get(unit, number, buffer)
        return int.from_bytes(buffer.raw, "little")


class VerilogRig(Rig):
    """A Rig of a VerilogUnit."""

    def __init__(self, unit: VerilogUnit, *, background: int = 0) -> None:
        super().__init__(unit, background=background)
        self._simulator.add_process(unit.process)


def _library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, port, words = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    library.unit_new.restype = handle
    library.unit_eval.argtypes = [handle]
    library.unit_set.argtypes = library.unit_get.argtypes = [handle, port, words]
    return library


def _harness(ports: list[str]) -> str:
    """C functions that read and write ports by number."""
    # Verilator writes two underscores of a name so.
    members = [port.replace("__", "___05F") for port in ports]
    sets, gets = (
        "".join(f"    case {i}: {call}(unit->{name}, words); break;\n" for i, name in names)
        for call, names in (
            ("put", list(enumerate(members))),
            ("take", list(enumerate(members))),
        )
    )
    return f"""\
#include <cstring>
#include "Vunit.h"
#include "verilated.h"
template <class Port> void put(Port& port, const char* words) {{
  std::memcpy(&port, words, sizeof(port) < 4 ? sizeof(port) : (sizeof(port) + 3) / 4 * 4);
}}
template <class Port> void take(const Port& port, char* words) {{
  std::memcpy(words, &port, sizeof(port));
}}
extern "C" {{
void* unit_new() {{ return new Vunit{{new VerilatedContext}}; }}
void unit_eval(void* model) {{ static_cast<Vunit*>(model)->eval(); }}
void unit_set(void* model, int port, const char* words) {{
  Vunit* unit = static_cast<Vunit*>(model);
  switch (port) {{
{sets}  }}
}}
void unit_get(void* model, int port, char* words) {{
  Vunit* unit = static_cast<Vunit*>(model);
  switch (port) {{
{gets}  }}
}}
}}
"""


def _built(verilog: str, top: str, ports: list[str]) -> Path:
    tool = find_verilator()
    texts = {"top.v": verilog, "harness.cpp": _harness(ports)}
    optimisation = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
    key = content_hash(
        *texts.values(), tool.identity, compiler_identity(), "\n".join((*_OPTIONS, *optimisation))
    )

    def build(scratch: Path) -> None:
        for name, text in texts.items():
            (scratch / name).write_text(text, "utf-8")
        tool.link(scratch)
        flags = ("-CFLAGS", "-fPIC", "-LDFLAGS", "-shared", "-o", _LIBRARY)
        for command, environment in (
            (
                [tool.binary, *_OPTIONS, _STOPPED_CLOCK, "--top-module", top, *flags]
                + ["top.v", "harness.cpp"],
                tool.environment(),
            ),
            (
                ["make", "-j2", "-C", "obj_dir", "-f", "Vunit.mk", *tool.make_variables("..")]
                + [*optimisation, _LIBRARY],
                tool_environment(),
            ),
        ):
            subprocess.run(command, cwd=scratch, env=environment, check=True, capture_output=True)
        (scratch / "obj_dir" / _LIBRARY).rename(scratch / _LIBRARY)
        tool.unlink(scratch)
        shutil.rmtree(scratch / "obj_dir")

    return obtain(cache_directory() / "units" / key, build) / _LIBRARY
