# SPDX-License-Identifier: Apache-2.0
"""What `meadow generate --unit` writes: Verilog, manifest, a page on the interface, diagrams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meadow.atomic_write import check_folder, check_replaceable, write_files
from meadow.spec.checks import check_choice
from meadow.spec.contract import contract_hash
from rtl_gen.blocks.prefix import with_prefix
from workbench.configurations.chosen import ChosenConfig
from workbench.exports.core import MANIFEST_NAME, manifest_tools
from workbench.exports.verilog import VERILOG_WAIVERS, without_warnings
from workbench.single.page import interface_page
from workbench.single.timing import unit_diagrams

__all__ = ["unit_manifest", "write_unit"]

PAGE_NAME = "interface.md"


def unit_manifest(unit: str, chosen: ChosenConfig, verilog: str, prefix: str) -> dict[str, Any]:
    """JSON-ready description of the Verilog of a unit: parameters, interfaces, ports, commands,
    tools. prefix: of the modules.
    """
    from rtl_gen.single.interfaces import (
        single_commands,
        single_interfaces,
        single_limits,
        single_ports,
    )
    from rtl_gen.single.unit import SINGLE_UNITS, single_name

    config = chosen.config
    return {
        "unit": unit,
        "summary": SINGLE_UNITS[unit].summary,
        "configuration": chosen.name,
        "parameters": config.to_dict(),
        "contract_hash": contract_hash(config),
        "top": single_name(unit, prefix),
        "verilog": f"{unit}.v",
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "interfaces": single_interfaces(unit, config),
        "limits": single_limits(unit, config),
        "ports": single_ports(unit, config),
        "commands": single_commands(unit),
        "timing": list(unit_diagrams(unit)),
        "tools": manifest_tools(),
    }


def write_unit(
    out: Path, unit: str, chosen: ChosenConfig, prefix: str, log: Callable[[str], None]
) -> dict[str, Any]:
    """Write the folder of a unit, all of its files or none; a report for `--json`.

    ValueError for an unknown unit and OutputError for a folder that cannot be written, before the
    work.
    """
    from rtl_gen.single.unit import SINGLE_UNITS, single_verilog

    check_choice("unit", unit, SINGLE_UNITS)
    diagrams = unit_diagrams(unit)
    verilog_name = f"{unit}.v"
    check_folder(out, verilog_name)
    names = [verilog_name, MANIFEST_NAME, PAGE_NAME, *diagrams]
    if out.is_dir():
        for name in names:
            check_replaceable(out / name, name)
    log(f"generating Verilog of the {unit}")
    verilog = with_prefix(single_verilog(unit, chosen.config), prefix)
    verilog = without_warnings(verilog, VERILOG_WAIVERS)
    log("describing it")
    manifest = unit_manifest(unit, chosen, verilog, prefix)
    texts = [verilog, json.dumps(manifest, indent=2) + "\n", interface_page(manifest, diagrams)]
    contents = (text.encode() for text in (*texts, *diagrams.values()))
    write_files(out, dict(zip(names, contents, strict=True)))
    log(f"wrote {out / verilog_name} ({len(verilog)} characters) and {len(names) - 1} beside it")
    facts = ("unit", "configuration", "parameters", "contract_hash", "top", "verilog_sha256")
    return {fact: manifest[fact] for fact in facts} | {
        "verilog": str(out / verilog_name),
        "manifest": str(out / MANIFEST_NAME),
        "characters": len(verilog),
        "files": names,
    }
