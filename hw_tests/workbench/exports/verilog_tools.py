# SPDX-License-Identifier: Apache-2.0
"""What Verilog tools say of a text when they read it as Verilog-2005 with their warnings on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cosim.verilator_tool import find_verilator

__all__ = ["TOOLS", "complaints"]

FILE = "text.v"

_YOSYS = f"""
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in ("read_verilog {FILE}", "hierarchy -check -top " + sys.argv[1]):
    libyosys.run_pass(line, design)
"""
_SLANG = f"""
import sys
from pyslang import driver
tool = driver.Driver()
tool.addStandardArgs()
line = "slang --std 1364-2005 -Wdefault -Wpedantic --top " + sys.argv[1] + " {FILE}"
ok = tool.parseCommandLine(line, driver.CommandLineOptions())
ok = ok and tool.processOptions() and tool.parseAllSources()
sys.exit(0 if tool.runFullCompilation() and ok else 1)
"""


def _verilator(folder: Path, top: str) -> tuple[list[str], dict[str, str]]:
    tool = find_verilator()
    tool.link(folder)
    # Registers that an FPGA loads with a value at the start are meant: there is no other way to say
    # so, and none to waive it in the file that all Verilators know.
    options = ["--lint-only", "-Wall", "-Wno-PROCASSINIT", "--language", "1364-2005"]
    return [tool.binary, *options, "--top-module", top, FILE], tool.environment()


def _icarus(folder: Path, top: str) -> tuple[list[str], dict[str, str]]:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed: apt-get install -y iverilog")
    return ["iverilog", "-g2005", "-Wall", "-t", "null", "-s", top, FILE], {**os.environ}


def _python(script: str) -> Callable[[Path, str], tuple[list[str], dict[str, str]]]:
    """Of a tool that is a library, in a process of its own: it says things on its own streams."""
    return lambda folder, top: ([sys.executable, "-P", "-c", script, top], {**os.environ})


TOOLS = {
    "verilator": _verilator,
    "icarus": _icarus,
    "yosys": _python(_YOSYS),
    "slang": _python(_SLANG),
}
"""How each is called in a folder, with which variables."""


def complaints(tool: str, text: str, top: str, folder: Path) -> list[str]:
    """The lines with warnings and errors, and the last line if it failed without any."""
    (folder / FILE).write_text(text, "utf-8")
    command, environment = TOOLS[tool](folder, top)
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
    )
    said = (result.stdout + result.stderr).splitlines()
    if tool == "icarus":
        found = said  # which says nothing else
    else:
        words = ("warning:", "error:", "%warning", "%error")
        found = [line for line in said if any(word in line.lower() for word in words)]
    return found or (said[-1:] or ["failed"] if result.returncode else [])
