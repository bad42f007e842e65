# SPDX-License-Identifier: Apache-2.0
"""Mutants of a configuration: one Verilog text with all of them, of which `MEADOW_MUTANT` switches
one on.

Yosys makes them (`mutate`), in a process of its own: `python -m hw_tests.mutation.netlist --help`.
A unit is flattened and cleaned first, so that few mutants sit in logic that nothing uses. The draw
is Yosys' own: weighted so that source lines, wires and cells are covered evenly, and the same for
the same seed and the same RTL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cosim.cache import cache_directory, content_hash, obtain
from cosim.generate import source_hash
from hw_tests.mutation.mutant import UNITS, Mutant
from hw_tests.mutation.selection import CONTROL, CONTROL_BITS, selectable
from hw_tests.seeds import salted
from meadow.spec.config import named_config

__all__ = ["Mutants", "mutated_verilog", "short_sources"]

_ROOT = Path(__file__).resolve().parents[2]
_DEPTH = 8
"""Levels of modules that may lie between a bit and its reader."""
_SPARE = 3
"""Times as many mutants are listed as needed, because those of clock pins, of bits that nothing
reads and of constants that stay are left out.
"""
_CLOCKS = ("CLK", "RD_CLK", "WR_CLK", "clk")
"""No source of this project writes a clock, so it cannot be wrong there."""
_DATA = ("A", "B", "D", "Q", "Y")
"""Ports of cells that are split bit by bit; others stay whole."""
_FILES = ("mutated.v", "mutants.json", "prepared.il")


@dataclass(frozen=True)
class Mutants:
    """Verilog with all mutants, their list, and the RTLIL file of the netlist without them."""

    verilog: str
    mutants: list[Mutant]
    prepared: Path


def mutated_verilog(
    config_name: str, *, seed: int, count: int, units: Mapping[str, Sequence[str]] = UNITS
) -> Mutants:
    """Text with `count` mutants, as many of each unit, and their list; from the cache if nothing
    has changed.
    """
    listed = json.dumps(units)
    key = content_hash(
        source_hash(),
        Path(__file__).read_bytes(),
        config_name,
        f"seed {seed} count {count}",
        listed,
    )

    def build(scratch: Path) -> None:
        # Yosys as a library changes how all later libraries of a process are loaded.
        command = [sys.executable, "-m", "hw_tests.mutation.netlist", config_name, str(scratch)]
        result = subprocess.run(
            [*command, str(seed), str(count), listed], cwd=_ROOT, capture_output=True, text=True
        )
        if result.returncode:
            raise RuntimeError("\n".join((result.stdout + result.stderr).splitlines()[-20:]))

    folder = obtain(cache_directory() / "mutants" / key, build)
    text, found = ((folder / name).read_text("utf-8") for name in _FILES[:2])
    mutants = [Mutant(**{**m, "sources": tuple(m["sources"])}) for m in json.loads(found)]
    return Mutants(text, mutants, folder / _FILES[2])


class _Yosys:
    """A design in Yosys; every command's text in `log`."""

    def __init__(self) -> None:
        from pyosys import libyosys

        self._library = libyosys
        self._design = libyosys.Design()

    def run(self, *commands: str) -> None:
        for command in commands:
            self._library.run_pass(command, self._design)


def _roots(names: Sequence[str]) -> list[str]:
    return [
        f"meadow_{name}" if name.startswith("lane.") else f"meadow_top.accelerator.{name}"
        for name in names
    ]


def _prepare(yosys: _Yosys, modules: list[str], roots: list[str]) -> None:
    """Units flat, and everything cleaned of what nothing reads, across the borders of modules
    too.
    """
    missing = [root for root in roots if root not in modules]
    if missing:
        raise ValueError(f"the design has no modules {', '.join(missing)}")
    inner = [name for name in modules if any(name.startswith(f"{root}.") for root in roots)]
    yosys.run(
        "select -set roots " + " ".join(roots),
        "select -set inner " + " ".join(inner),
        "proc -noopt",
        "memory_collect",
        "flatten @roots",
        "delete @inner",
        # opt_hier cuts bits of ports that nobody reads, initial values or not. Verilator begins
        # with zeros.
        "zinit -all",
        "setattr -unset init w:*",
        "opt -full",
        "wreduce",
    )
    _trim(yosys)
    yosys.run("opt -full @roots", "wreduce @roots", "opt -full @roots", "opt_clean -purge @roots")


def _trim(yosys: _Yosys) -> None:
    for _ in range(_DEPTH):
        yosys.run("opt_hier", "opt_clean -purge")


_Bits = dict[tuple[str, str], dict[int, int | str]]
"""Bits of a port that something reads, of (module, cell.port): number of the net, or "0", "1",
"x".
"""


def _used(yosys: _Yosys) -> _Bits:
    """Found in a copy of the design whose cells are split where only some of their bits are
    read.
    """
    yosys.run("design -save whole", "splitcells")
    _trim(yosys)
    yosys.run("wreduce @roots", "opt_clean -purge @roots", "select @roots")
    yosys.run("write_json -selected units.json", "select -clear", "design -load whole")
    used: _Bits = {}
    modules = json.loads(Path("units.json").read_text("utf-8"))["modules"]
    for name, module in modules.items():
        read = {
            bit for p in module["ports"].values() if p["direction"] == "output" for bit in p["bits"]
        }
        for facts in module["cells"].values():
            for port, bits in facts["connections"].items():
                if facts["port_directions"][port] != "output":
                    read.update(bits)
        for split, facts in module["cells"].items():
            # name[7:4][1] is bit 1 of bits 7 .. 4 of the cell
            cell, slices = re.fullmatch(r"(.*?)((?:\[\d+(?::\d+)?\])*)", split).groups()  # pyright: ignore[reportOptionalMemberAccess]
            first = sum(int(low) for low in re.findall(r"(\d+)\]", slices))
            for port, bits in facts["connections"].items():
                output = facts["port_directions"][port] == "output"
                places = used.setdefault((name, f"{cell}.{port}"), {})
                shift = first if len(bits) > 1 or port in _DATA else 0
                places |= {
                    shift + i: bit for i, bit in enumerate(bits) if not output or bit in read
                }
    return used


def _draw(
    yosys: _Yosys,
    unit: str,
    names: Sequence[str],
    seed: int,
    count: int,
    used: _Bits,
) -> list[list[str]]:
    """Options of `count` mutants of a unit, without -ctrl."""
    listed = Path(f"{unit}.txt")
    yosys.run(f"select -set {unit} " + " ".join(_roots(names)))
    yosys.run(f"mutate -list {_SPARE * count} -seed {seed} -o {listed} @{unit}")
    good = []
    for line in listed.read_text("utf-8").splitlines():
        options = line.split()[1:]
        values = dict(zip(options[::2], options[1::2], strict=True))
        module, port = values["-module"], values["-port"]
        bits = used.get((module, f"{values['-cell']}.{port}"), {})
        if port not in _CLOCKS and int(values["-portbit"]) in bits and _changes(values, bits):
            good.append(options)
    if len(good) < count:
        raise ValueError(f"{unit} has {len(good)} mutants only, not {count}")
    return random.Random(salted(f"{unit} {seed}")).sample(good, count)


def _changes(values: dict[str, str], bits: dict[int, int | str]) -> bool:
    """False for a constant that becomes what it is, or that a constant leaves as it is."""
    mode = values["-mode"]
    place = values["-ctrlbit"] if mode.startswith("cnot") else values["-portbit"]
    kept = {"const0": "0", "const1": "1", "cnot0": "1", "cnot1": "0"}
    return mode not in kept or bits.get(int(place)) != kept[mode]


def _mutant(number: int, unit: str, options: list[str]) -> Mutant:
    values: dict[str, list[str]] = {}
    for name, value in zip(options[::2], options[1::2], strict=True):
        values.setdefault(name[1:], []).append(value)
    wire = "".join(values.get("wire", []))
    return Mutant(
        number=number,
        unit=unit,
        mode=values["mode"][0],
        module=values["module"][0],
        cell=values["cell"][0],
        port=values["port"][0],
        bit=int(values["portbit"][0]),
        control=int(values["ctrlbit"][0]) if "ctrlbit" in values else None,
        wire=wire and f"{wire}[{values['wirebit'][0]}]",
        sources=tuple(re.sub(r".*/site-packages/", "", path) for path in values.get("src", [])),
    )


def short_sources(rtlil: str) -> str:
    """The paths of sources from the checkout on, and without spaces: `mutate -list` writes them
    between spaces, and mutants do not depend on where the checkout lies.
    """

    def short(found: re.Match[str]) -> str:
        return found[1] + found[2].replace(f"{_ROOT}/", "").replace(" ", "_")

    return re.sub(r'(attribute \\src )("[^"\n]*")', short, rtlil)


def _build(
    config_name: str, folder: Path, seed: int, count: int, units: Mapping[str, Sequence[str]]
) -> None:
    from rtl_gen.blocks.verilog import fold_initial_values, settle_constants
    from rtl_gen.export import generate_rtlil
    from rtl_gen.lane.lane_chain import LANE_MODULE
    from rtl_gen.lane.lane_clock import gate_verilog
    from rtl_gen.memory.activation_bank import bank_verilog

    config = named_config(config_name)
    yosys, modules = _Yosys(), []
    # Yosys takes no path with a space, so it works in the folder and names files only.
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        for module, text in zip(("top", LANE_MODULE), generate_rtlil(config), strict=True):
            Path(f"{module}.il").write_text(short_sources(text), "utf-8")
            yosys.run(f"read_rtlil {module}.il")
            modules += re.findall(r"^module \\(\S+)", text, re.M)
        Path("boxes.v").write_text(bank_verilog(config) + gate_verilog(), "utf-8")
        yosys.run("read_verilog -lib boxes.v")
        _prepare(yosys, modules, [root for names in units.values() for root in _roots(names)])
        yosys.run(f"write_rtlil {_FILES[2]}")
        mutants, commands, used = [], [], _used(yosys)
        shares = [count // len(units) + (i < count % len(units)) for i in range(len(units))]
        for (unit, names), share in zip(units.items(), shares, strict=True):
            for options in _draw(yosys, unit, names, seed, share, used):
                mutants.append(_mutant(len(mutants) + 1, unit, options))
                control = f"-ctrl {CONTROL} {CONTROL_BITS} {len(mutants)}"
                commands.append(f"mutate {control} {' '.join(options)}")
        yosys.run(*commands)
        removed = "-remove generator -remove top -remove src"
        yosys.run(f"attrmap {removed}", f"attrmap -modattr {removed}")
        yosys.run("write_verilog -norename all.v")
        text = Path("all.v").read_text("utf-8")
        shutil.copyfile(_FILES[2], folder / _FILES[2])
    text = fold_initial_values(settle_constants(selectable(text)))
    (folder / _FILES[0]).write_text(
        "\n".join((text, bank_verilog(config), gate_verilog())), "utf-8"
    )
    (folder / _FILES[1]).write_text(json.dumps([asdict(m) for m in mutants], indent=1), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("units", type=json.loads, help="JSON: {unit: [modules]}")
    arguments = parser.parse_args()
    folder, seed = arguments.folder.absolute(), arguments.seed
    _build(arguments.config, folder, seed, arguments.count, arguments.units)
