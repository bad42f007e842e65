# SPDX-License-Identifier: Apache-2.0
"""Which mutants nobody can tell from the design: proven by Yosys' SAT solver, for each in a copy of
its unit.

Registers and memories of design and mutant are cut open, their outputs are inputs and their inputs
are outputs. If then no assignment of all inputs gives another output, the mutant computes the same
in every state, reachable or not. What differs only in states that never come is not found; nor is
what a later cycle hides.

`python -m hw_tests.mutation.equivalence --help`: a process of its own, as Yosys changes how later
libraries are loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw_tests.mutation.mutant import Mutant

__all__ = ["equivalent_numbers"]

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 30
"""For one mutant; one that takes longer is not proven."""


def equivalent_numbers(prepared: Path, mutants: Sequence[Mutant]) -> set[int]:
    """Numbers of those `mutants` of the netlist `prepared` that are proven to be equivalent to it.

    RuntimeError with the last lines of Yosys if it fails.
    """
    if not mutants:
        return set()
    options = [_options(mutant) for mutant in mutants]
    result = subprocess.run(
        [sys.executable, "-m", "hw_tests.mutation.equivalence", str(prepared)],
        cwd=_ROOT,
        input=json.dumps(options),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError("\n".join((result.stdout + result.stderr).splitlines()[-20:]))
    proven = json.loads(result.stdout.splitlines()[-1])
    return {mutant.number for mutant, is_proven in zip(mutants, proven, strict=True) if is_proven}


def _options(mutant: Mutant) -> tuple[str, str]:
    """Its module, and what `mutate` is told."""
    control = "" if mutant.control is None else f" -ctrlbit {mutant.control}"
    place = f"-cell {mutant.cell} -port {mutant.port} -portbit {mutant.bit}"
    return mutant.module, f"-mode {mutant.mode} {place}{control}"


def _cut_open(library: Any, module: Any) -> None:
    """Every cell that holds state becomes ports, named after the cell."""
    for cell in list(module.cells_.values()):
        kind = cell.type.str()
        if not kind.startswith("$"):
            raise ValueError(f"{module.name.str()} has an instance of {kind}")
        if not (kind.startswith("$mem") or "dff" in kind):
            continue
        for port, signal in list(cell.connections_.items()):
            name = f"\\state.{cell.name.str()[1:]}.{port.str()[1:]}"
            wire = module.addWire(library.IdString(name), signal.size())
            if cell.output(port):
                wire.port_input = True
                module.connect(signal, library.SigSpec(wire))
            else:
                wire.port_output = True
                module.connect(library.SigSpec(wire), signal)
        module.remove(cell)
    module.fixup_ports()


def _prove(prepared: Path, mutants: Sequence[tuple[str, str]]) -> list[bool]:
    from pyosys import libyosys

    design = libyosys.Design()

    def run(*commands: str) -> None:
        for command in commands:
            libyosys.run_pass(command, design)

    proven = []
    # Yosys takes no path with a space, so it works in the folder and names files only.
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        answer = Path("answer")
        Path("prepared.il").symlink_to(prepared)
        run("read_rtlil prepared.il", "design -save whole")
        for module, options in mutants:
            run("design -reset", f"design -copy-from whole -as design {module}")
            # Enables and resets of registers are logic before them.
            run("copy design mutant", f"mutate -module mutant {options}", "dffunmap")
            for copy in ("design", "mutant"):
                _cut_open(libyosys, design.module(libyosys.IdString(f"\\{copy}")))
            run("miter -equiv -flatten design mutant miter", "opt -full miter")
            run(f"tee -q -o {answer} sat -prove trigger 0 -timeout {_SECONDS} miter")
            proven.append("no model found: SUCCESS" in answer.read_text("utf-8"))
    return proven


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path, help="RTLIL; standard input says which mutants")
    found = _prove(parser.parse_args().prepared.absolute(), json.load(sys.stdin))
    print(f"\n{json.dumps(found)}")
