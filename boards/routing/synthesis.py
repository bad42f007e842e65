# SPDX-License-Identifier: Apache-2.0
"""Synthesis of one block, or of the whole chip, for the device of the routed figures.

A process of its own (`python -m boards.routing.synthesis FOLDER`): pyosys opens its library,
and all that are opened after it, with global symbols, which breaks other extensions.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from boards.routing.harness import HARNESS_MODULE, harness_verilog, module_ports
from meadow.spec.config import AcceleratorConfig
from rtl_gen.export import TOP_NAME, generate_rtlil
from rtl_gen.lane.lane_chain import LANE_MODULE
from rtl_gen.lane.lane_clock import gate_verilog
from rtl_gen.memory.activation_bank import bank_verilog

__all__ = ["CHIP", "MODULES", "Sources", "SynthesisError", "sources", "synthesise"]

CHIP = "chip"
"""The whole accelerator."""

_INSIDE = f"{TOP_NAME}.accelerator"
MODULES: Mapping[str, str] = {
    CHIP: TOP_NAME,
    "lane": LANE_MODULE,
    "tile_buffer": f"{_INSIDE}.array.tiles",
    "array_control": f"{_INSIDE}.array.control",
    "decoder": f"{_INSIDE}.decoder0",
    "memory_port": f"{_INSIDE}.port0",
    "fetch": f"{_INSIDE}.fetch",
    "loader": f"{_INSIDE}.loader",
    "storer": f"{_INSIDE}.storer",
    "writer": f"{_INSIDE}.writer",
    "vector": f"{_INSIDE}.vector",
    "sequencer": f"{_INSIDE}.sequencer",
    "registers": f"{_INSIDE}.registers",
}
"""What can be routed -> its module; of equal copies the first."""

_ROOT = Path(__file__).resolve().parents[2]
_READ = ("read_verilog parts.v", "read_rtlil chip.il", "read_rtlil lane.il")
_SYNTHESIS = f"synth_ecp5 -top {HARNESS_MODULE} -json netlist.json"

Sources = Mapping[str, str]
"""File name -> text, all that the synthesis reads."""


class SynthesisError(RuntimeError):
    """Yosys has failed; the message ends with what it said."""


def sources(module: str, config: AcceleratorConfig) -> Sources:
    """The chip of `config` with a harness around one of its modules."""
    chip, lane = (text.replace(f"{_ROOT}/", "") for text in generate_rtlil(config))
    ports = module_ports(lane if module == LANE_MODULE else chip, module)
    parts = harness_verilog(module, ports) + bank_verilog(config) + gate_verilog()
    return {"chip.il": chip, "lane.il": lane, "parts.v": parts}


def synthesise(texts: Sources, folder: Path) -> Path:
    """Write the flat netlist of the harness to `netlist.json` in the empty `folder`; its path."""
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    # The folder of the sources first: another checkout may be installed.
    path = os.pathsep.join((str(_ROOT), os.environ.get("PYTHONPATH", ""))).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-m", "boards.routing.synthesis", str(folder)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        log = folder / "yosys.log"
        said = log.read_text("utf-8", "replace") if log.exists() else ""
        last = (said.strip() or done.stderr.strip()).splitlines()[-1:]
        raise SynthesisError(f"yosys failed with status {done.returncode}: {' '.join(last)}")
    return folder / "netlist.json"


def _run() -> None:
    """Synthesise in the current folder, whose name may hold a space, which Yosys does not take."""
    from pyosys import libyosys

    design = libyosys.Design()
    for command in (*_READ, _SYNTHESIS):
        libyosys.run_pass(command, design)


if __name__ == "__main__":
    with contextlib.chdir(sys.argv[1]):
        log = os.open("yosys.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        _run()
