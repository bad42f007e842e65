# SPDX-License-Identifier: Apache-2.0
"""`meadow generate`: Verilog of a configuration, a manifest that says what it is, and the files
that other tools expect beside it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cosim.generate import generated_verilog
from meadow.atomic_write import check_folder, check_replaceable, write_files
from meadow.spec.registers import ERROR_CAUSES, VERSION
from rtl_gen.blocks.prefix import PREFIX, check_prefix, top_name, with_prefix
from rtl_gen.single.unit import SINGLE_UNITS
from workbench.configurations.chosen import ChosenConfig
from workbench.console import print_json
from workbench.exports.core import (
    MANIFEST_NAME,
    VERILOG_NAME,
    Core,
    described_core,
    manifest_tools,
)
from workbench.exports.folder import MISSING_EXPORTERS, core_files
from workbench.exports.peakrdl import has_exporters
from workbench.exports.verilog import verilog_file
from workbench.options import JsonOption, choices, path_option, takes_config
from workbench.progress import log
from workbench.single.folder import write_unit

__all__ = ["generate_command", "verilog_manifest"]


def verilog_manifest(core: Core, verilog: str) -> dict[str, Any]:
    """JSON-ready description of generated Verilog: parameters, ports, registers, contract and
    tools.
    """
    return {
        "configuration": core.configuration,
        "parameters": core.config.to_dict(),
        "contract_hash": core.contract,
        "register_map_version": VERSION,
        "top": core.top,
        "verilog": VERILOG_NAME,
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "ports": core.ports,
        "registers": [
            {
                "offset": entry.offset,
                "name": entry.name,
                "access": entry.access,
                "mask": entry.mask,
                "reset": core.resets[entry.name],
                "description": entry.doc,
                "fields": [
                    {
                        "mask": bit.mask,
                        "name": bit.name,
                        "access": bit.access,
                        "description": bit.doc,
                    }
                    for bit in entry.fields
                ],
            }
            for entry in core.registers
        ],
        "error_codes": [
            {"value": int(code), "name": code.name, "description": cause}
            for code, cause in ERROR_CAUSES.items()
        ],
        "tools": manifest_tools(),
    }


@takes_config("tiny")
def generate_command(
    out: Annotated[Path, path_option(help=f"Directory for {VERILOG_NAME} and what describes it.")],
    *,
    config: ChosenConfig,
    name: Annotated[
        str,
        typer.Option(
            metavar="PREFIX",
            help="What the names of all modules begin with, so that cores of two names are in one "
            f"design; the top module is {top_name('PREFIX')}.",
        ),
    ] = PREFIX,
    unit: Annotated[
        str | None,
        typer.Option(help=f"Only this unit, alone: {choices(SINGLE_UNITS)}; see docs/units.md."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the Verilog of a configuration, its manifest and what other tools expect beside it."""
    check_prefix(name)
    if unit is not None:
        report = write_unit(out, unit, config, name, log)
        if as_json:
            print_json(report)
        return
    check_folder(out, VERILOG_NAME)
    paths = [out / VERILOG_NAME, out / MANIFEST_NAME]
    if out.is_dir():
        for path in paths:
            check_replaceable(path, path.name)
    core = described_core(config.name, config.config, top_name(name))
    verilog = verilog_file(core, with_prefix(generated_verilog(config.config, log=log), name))
    log("describing it")
    manifest = verilog_manifest(core, verilog)
    written = {
        VERILOG_NAME: verilog.encode(),
        MANIFEST_NAME: (json.dumps(manifest, indent=2) + "\n").encode(),
    }
    files = core_files(core, written)
    write_files(out, files)
    if not has_exporters():
        log(MISSING_EXPORTERS)
    log(f"wrote {paths[0]} ({len(verilog)} characters), {paths[1]} and {len(files) - 2} others")
    if as_json:
        facts = ("configuration", "parameters", "contract_hash", "top", "verilog_sha256")
        print_json(
            {fact: manifest[fact] for fact in facts}
            | {"verilog": str(paths[0]), "manifest": str(paths[1]), "characters": len(verilog)}
            | {"files": sorted(files)}
        )
