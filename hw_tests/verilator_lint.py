# SPDX-License-Identifier: Apache-2.0
"""What Verilator says about generated Verilog."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from cosim.verilator_tool import find_verilator

__all__ = ["warnings"]

_HABITS = ("WIDTH", "CASEINCOMPLETE")
"""Habits of Yosys, well defined in Verilog: operands and results of unequal width, and cases whose
values are assigned before them.
"""


def warnings(verilog: str, *, top: str) -> list[str]:
    """Every error and warning of Verilator's lint but the habits of Yosys."""
    verilator = find_verilator()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "top.v").write_text(verilog, "utf-8")
        verilator.link(Path(folder))
        result = subprocess.run(
            [verilator.binary, "--lint-only", "-Wno-fatal", "--top-module", top]
            + [*(f"-Wno-{habit}" for habit in _HABITS), "top.v"],
            cwd=folder,
            env=verilator.environment(),
            capture_output=True,
            text=True,
            errors="backslashreplace",
        )
    return [line for line in result.stderr.splitlines() if line.startswith("%")]
