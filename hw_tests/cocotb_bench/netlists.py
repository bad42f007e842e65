# SPDX-License-Identifier: Apache-2.0
"""Netlists of blocks in the place of their Verilog: what a synthesis makes of the generated text.

Yosys reads the text as `meadow generate` writes it, maps the block to primitives of UltraScale+
(LUTs, carries, flip-flops, distributed memories) and writes them as structural Verilog. Yosys' own
models of the primitives simulate them. It has none of a block RAM of this family and of a DSP48E2:
memories of any style become distributed ones, and products LUTs.

A process of its own (`python -m hw_tests.cocotb_bench.netlists FOLDER MODULE`): pyosys changes how
all later libraries of a process are loaded.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boards.synthesis.netlist import Cell, Netlist
from cosim.cache import cache_directory, content_hash, obtain

__all__ = ["BlockNetlist", "block_netlist", "with_netlist"]

_ROOT = Path(__file__).resolve().parents[2]
_MODULE = re.compile(r"^(?:\(\*[^\n]*\n)*module \\?([^\s(]+) ?\(.*?^endmodule\n", re.M | re.S)
_SPECIFY = re.compile(r"^\s*specify\b.*?\bendspecify\n", re.M | re.S)
_SYNTHESIS = "synth_xilinx -family xcup -flatten -noiopad -noclkbuf -nobram -nodsp -nosrl"
_SOURCE, _STRUCTURE, _MODELS, _GRAPH = "block.v", "netlist.v", "models.v", "netlist.json"
_CONTROLS = ("C", "CE", "R", "S", "WCLK", "WE")
"""Pins that say when something is stored, not what."""


@dataclass(frozen=True)
class BlockNetlist:
    """structure: Verilog of the module, primitives and wires only. models: of the primitives, for a
    simulator. graph: the same netlist as cells and nets.
    """

    structure: str
    models: str
    graph: Netlist

    def fault_behind(self, port: str, bit: int) -> BlockNetlist:
        """Another netlist, with one constant changed: the truth table of the LUT that is nearest to
        a bit of an output is inverted.
        """
        cell = next(found for found in _cone(self.graph, port, bit) if found.kind.startswith("LUT"))
        table = re.compile(rf"(\.INIT\(\d+'h)([0-9a-f]+)(\)\n  \) {re.escape(cell.name)} \()")

        def inverted(match: re.Match[str]) -> str:
            digits = match[2]
            bits = max(2, 1 << int(cell.kind.removeprefix("LUT")))
            value = int(digits, 16) ^ ((1 << bits) - 1)
            return f"{match[1]}{value:0{len(digits)}x}{match[3]}"

        structure, count = table.subn(inverted, self.structure)
        if count != 1:
            raise ValueError(f"{cell.name} stands {count} times in the netlist")
        return BlockNetlist(structure, self.models, self.graph)


def block_netlist(verilog: str, module: str) -> BlockNetlist:
    """The netlist of a module of a text, and of all modules whose names begin with its own and a
    point; from the cache if Yosys was given this very block before.
    """
    own = "".join(text for name, text in _modules(verilog) if _is_part(name, module))
    key = content_hash(
        own, module, Path(__file__).read_bytes(), importlib.metadata.version("pyosys")
    )

    def build(scratch: Path) -> None:
        (scratch / _SOURCE).write_text(own, "utf-8")
        command = [sys.executable, "-m", "hw_tests.cocotb_bench.netlists", str(scratch), module]
        result = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError("\n".join((result.stdout + result.stderr).splitlines()[-20:]))

    made = obtain(cache_directory() / "block-netlists" / key, build)
    structure, models = ((made / name).read_text("utf-8") for name in (_STRUCTURE, _MODELS))
    return BlockNetlist(structure, models, Netlist.read(made / _GRAPH))


def with_netlist(verilog: str, module: str, netlist: BlockNetlist) -> str:
    """The text with a netlist in the place of a module and of all that is below it."""
    others = [text for name, text in _modules(verilog) if not _is_part(name, module)]
    return "\n".join((*others, netlist.structure, netlist.models))


def _modules(verilog: str) -> Iterator[tuple[str, str]]:
    return ((match[1], match[0]) for match in _MODULE.finditer(verilog))


def _is_part(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _cone(graph: Netlist, port: str, bit: int) -> Iterator[Cell]:
    """The cells that a bit of an output depends on, the nearest first."""
    nets, seen = [graph.outputs[port][bit]], set()
    for net in nets:  # which grows
        cell = graph.driver(net)
        if cell is None or net in seen:
            continue
        seen.add(net)
        yield cell
        pins = (bits for pin, bits in cell.inputs.items() if pin not in _CONTROLS)
        nets += [net for bits in pins for net in bits]


def _synthesise(module: str) -> None:
    """In the current folder: Yosys takes no path with a space."""
    from pyosys import libyosys

    design = libyosys.Design()
    for command in (
        f"read_verilog {_SOURCE}",
        "setattr -unset ram_style a:ram_style",
        f"{_SYNTHESIS} -top {module}",
        "splitnets",  # a wire for each bit, or a simulator sees loops where there are none
        "delete t:$scopeinfo",
        "clean -purge",
        "rename -enumerate -pattern cell_% c:*",
        f"write_verilog -noattr -noexpr -nodec {_STRUCTURE}",
        f"write_json {_GRAPH}",
    ):
        libyosys.run_pass(command, design)
    facts = json.loads(Path(_GRAPH).read_text("utf-8"))["modules"][module]
    kinds = {cell["type"] for cell in facts["cells"].values()}
    Netlist.from_yosys(module, facts, {}, _ROOT).write(Path(_GRAPH))
    share = Path(libyosys.__file__).parent / "share" / "xilinx"
    models = dict(_modules((share / "cells_sim.v").read_text("utf-8")))
    missing = kinds - models.keys()
    if missing:
        raise SystemExit(f"Yosys has no model of {', '.join(sorted(missing))}")
    text = "\n".join(models[kind] for kind in sorted(kinds))
    Path(_MODELS).write_text(_SPECIFY.sub("", text), "utf-8")
    Path(_SOURCE).unlink()


if __name__ == "__main__":
    with contextlib.chdir(sys.argv[1]):
        _synthesise(sys.argv[2])
