# SPDX-License-Identifier: Apache-2.0
"""Synthesis of one block with Yosys: RTLIL in, a netlist of UltraScale+ primitives out.

A process of its own (`python -m boards.synthesis.flow FOLDER BLOCK`): pyosys opens its library, and
all that are opened after it, with global symbols, which breaks other extensions.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from boards.synthesis.chip_blocks import Block
from boards.synthesis.dsp_adder import mark_adders, take_adders
from boards.synthesis.netlist import SEQUENTIAL, Netlist

__all__ = ["FLOW_VERSION", "SynthesisError", "synthesise"]

FLOW_VERSION = "5"
"""Changes when the commands below give another netlist; a part of the key of cached netlists."""

_ROOT = Path(__file__).resolve().parents[2]
_OPTIONS = "-family xcup -flatten -noiopad -noclkbuf"
# A signal with the attribute `keep` is a register of its own, as in Vivado: Yosys looks at that of
# cells only before it makes one of registers that hold the same.
_KEEPING = ("proc", "setattr -set keep 1 a:keep %ci1 t:$dff %i")
# Depth-oriented abc instead of the abc9 of synth_xilinx, which takes LUTs for nearly free beside
# carry chains and makes chains of seven LUT2 there.
_MAPPING = (
    "opt_expr -mux_undef -noclkinv",
    "abc -luts 2:2,3,6:5,10,20",
    "clean",
    "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
    "clean",
    "setattr -unset module_not_derived",
)
_OUTPUTS = ("Q", "P", "DOUT_A", "DOADO", "DOUTADOUT", "DOBDO", "DOUTBDOUT", "DOA", "O", "SPO")


class SynthesisError(RuntimeError):
    """Yosys has failed; the message names the block and ends with what Yosys said."""


def synthesise(block: Block, folder: Path) -> None:
    """Write the netlist of `block` to `netlist.json` in the empty `folder`."""
    (folder / "block.il").write_text(block.text, "utf-8")
    (folder / "block.v").write_text(block.verilog, "utf-8")
    # The folder of the sources first: another checkout may be installed.
    path = os.pathsep.join((str(_ROOT), os.environ.get("PYTHONPATH", "")))
    command = [sys.executable, "-m", "boards.synthesis.flow", str(folder), block.name]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
        capture_output=True,
        text=True,
        check=False,
    )
    log = folder / "yosys.log"
    if done.returncode:
        said = log.read_text("utf-8", "replace") if log.exists() else ""
        lines = [line for line in (said + done.stderr).splitlines() if line.strip()]
        told = [line for line in lines if "ERROR" in line] or lines[-1:]
        raise SynthesisError(
            f"yosys failed on block {block.name} with status {done.returncode}: {told[0].strip()}"
            if told
            else f"yosys failed on block {block.name} with status {done.returncode}"
        )
    for name in ("block.il", "block.v", "yosys.log"):
        (folder / name).unlink()


def _run(block: str) -> None:
    """Synthesise in the current folder, whose name may hold a space, which Yosys does not take."""
    from pyosys import libyosys

    design = libyosys.Design()

    def run(command: str) -> None:
        libyosys.run_pass(command, design)

    synthesis = f"synth_xilinx {_OPTIONS} -top {block}"
    if Path("block.v").stat().st_size:
        run("read_verilog block.v")
    run("read_rtlil block.il")
    for command in _KEEPING:
        run(command)
    mark_adders(libyosys, design)
    run(f"{synthesis} -run begin:coarse")
    memories = _memories(design.module(libyosys.IdString(f"\\{block}")))
    run("opt_clean")
    take_adders(libyosys, design.module(libyosys.IdString(f"\\{block}")))
    run(f"{synthesis} -run coarse:map_luts")
    module = design.module(libyosys.IdString(f"\\{block}"))
    _name_sources(module, memories)
    names = _names(module)
    # Names of our wires can collide with those that abc makes (pyosys 0.70).
    run("rename -enumerate -pattern w%_ w:* i:* %d o:* %d")
    for command in _MAPPING:
        run(command)
    run(f"select {block}")
    run("write_json -selected mapped.json")
    module = json.loads(Path("mapped.json").read_text("utf-8"))["modules"][block]
    Path("mapped.json").unlink()
    Netlist.from_yosys(block, module, names, _ROOT).write(Path("netlist.json"))


def _memories(module) -> dict[str, str]:
    """Memory -> where its source is."""
    return {name.str(): memory.get_src_attribute() for name, memory in module.memories.items()}


def _name_sources(module, memories: dict[str, str]) -> None:
    """The cells of a memory come from the line of the memory; Yosys says which file of its own
    they are mapped with.
    """
    for name, cell in module.cells_.items():
        memory = name.str().rsplit(".", 2)[0]  # the others are row and column
        if memory in memories:
            cell.set_src_attribute(memories[memory])


def _names(module) -> dict[str, str]:
    """Sequential cell -> the name of what it holds, "row[3]"."""
    found = {}
    for name, cell in module.cells_.items():
        if not cell.type.str().removeprefix("\\").startswith(SEQUENTIAL):
            continue
        ports = {
            port.str().removeprefix("\\"): signal for port, signal in cell.connections_.items()
        }
        for output in _OUTPUTS:
            signal = ports.get(output)
            bits = (
                []
                if signal is None
                else [bit for bit in signal.to_sigbit_vector() if bit.is_wire()]
            )
            if bits:
                wire = bits[0].wire
                index = f"[{bits[0].offset}]" if wire.width > 1 else ""
                found[name.str().removeprefix("\\")] = wire.name.str().removeprefix("\\") + index
                break
    return found


if __name__ == "__main__":
    with contextlib.chdir(sys.argv[1]):
        log = os.open("yosys.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        _run(sys.argv[2])
