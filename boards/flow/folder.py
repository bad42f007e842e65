# SPDX-License-Identifier: Apache-2.0
"""The files of a folder that Vivado builds a bitstream from, filled in from one System."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from boards.flow.system import System
from boards.flow.wrapper import WRAPPER_NAME, interface_wrapper
from boards.zynqmp import PL_CLOCK, PL_RESET, REGISTER_PORT
from meadow.spec.config import BEAT_BYTES
from meadow.spec.linux import BUFFER_NAME, CLOCK_PROPERTY, HASH_PROPERTY, UIO_NAME
from rtl_gen.blocks.prefix import IP_LIBRARY, IP_VENDOR

__all__ = [
    "ACTIVITY_NAME",
    "CORE_INSTANCES",
    "DESIGN_NAME",
    "SCRIPT_NAME",
    "flow_files",
]

SCRIPT_NAME = "build.sh"
DESIGN_NAME = "meadow_system"
"""Of the block design; its wrapper is the top module."""
CORE_INSTANCES = (f"{DESIGN_NAME}_wrapper", f"{DESIGN_NAME}_i", "meadow", "inst", "core")
"""From the top module of the design to the core: wrapper, block design, cell, IP, and in that the
core.
"""
ACTIVITY_NAME = "activity.saif"
"""How often signals switch, if there is a simulation of it."""
_PROJECT = "meadow"

_TEMPLATES = Path(__file__).parent / "templates"


def _paths(system: System) -> dict[str, str]:
    """File of the folder -> its template."""
    fan = {"fan_enable.v": "fan_enable.v.j2"} if system.board.fan_pin else {}
    return {
        "README.md": "README.md.j2",
        SCRIPT_NAME: "build.sh.j2",
        **{f"{name}.tcl": f"{name}.tcl.j2" for name in ("build", "package_ip", "block_design")},
        "implement.tcl": "implement.tcl.j2",
        "board.xdc": "board.xdc.j2",
        **fan,
        "package/overlay.dtso": "overlay.dtso.j2",
        "package/shell.json": "shell.json.j2",
        "package/bitstream.bif": "bitstream.bif.j2",
    }


def flow_files(system: System, top: str, ports: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Text of each file by its path in the folder, but for the Verilog of the module `top` and its
    manifest.

    ports: of `top`, as `rtl_gen.export.verilog_ports`.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, "utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["hex"] = hex
    values = {
        "system": system,
        "register_port": REGISTER_PORT,
        "memory_width": 8 * BEAT_BYTES,
        "wrapper": WRAPPER_NAME,
        "vendor": IP_VENDOR,
        "library": IP_LIBRARY,
        "design": DESIGN_NAME,
        "project": _PROJECT,
        "node": UIO_NAME,
        "buffer": BUFFER_NAME,
        "hash_property": HASH_PROPERTY,
        "clock_property": CLOCK_PROPERTY,
        "pl_clock": PL_CLOCK,
        "pl_reset": PL_RESET,
        "saif_scope": CORE_INSTANCES[0],
        "activity": ACTIVITY_NAME,
    }
    texts = {
        path: environment.get_template(template).render(values)
        for path, template in _paths(system).items()
    }
    texts[f"{WRAPPER_NAME}.v"] = interface_wrapper(system, top, ports)
    texts["package/design.json"] = json.dumps(system.facts(), indent=2) + "\n"
    return texts
