# SPDX-License-Identifier: Apache-2.0
"""The top module without its inside, for designs that are synthesised around it."""

from __future__ import annotations

from typing import Any

from workbench.exports.core import Core
from workbench.exports.verilog import STUB_WAIVERS, without_warnings

__all__ = ["verilog_stub"]


def _port(port: dict[str, Any]) -> str:
    size = f" [{port['width'] - 1}:0]" if port["width"] > 1 else ""
    return f"    {port['direction']} wire{size} {port['name']}"


def verilog_stub(core: Core) -> str:
    """A black box for Vivado (`black_box`) and Yosys (`blackbox`) with every port."""
    ports = ",\n".join(_port(port) for port in core.ports)
    module = f"(* black_box, blackbox *)\nmodule {core.top} (\n{ports}\n);\nendmodule\n"
    return core.heading("Black box", "//") + without_warnings(module, STUB_WAIVERS)
