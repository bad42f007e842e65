# SPDX-License-Identifier: Apache-2.0
"""Verilog text and the C++ harness to a shared library, built once per content."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from cosim.announce import announced
from cosim.cache import cache_directory, content_hash, obtain
from cosim.fst_writer import fst_options, fst_texts
from cosim.verilator_tool import (
    APT_LINE,
    BuildError,
    Verilator,
    compiler_identity,
    find_verilator,
    tool_environment,
)

__all__ = [
    "APT_LINE",
    "LIBRARY_NAME",
    "BuildError",
    "Verilator",
    "build_library",
    "find_verilator",
    "lint",
]

LIBRARY_NAME = "libmeadow_cosim.so"

_HARNESS = ("harness.cpp", "bursts.hpp", "checker.hpp", "dram.hpp", "timeline.hpp")
_WAVES = "waves.hpp"
_OBJECTS = "obj"
_OPTIMISATION = ("OPT_FAST=-O3 -march=native", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2")
_OPTIONS = (
    "--cc",
    "--exe",
    "--prefix",
    "Vtop",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-timing",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-Werror-ALWNEVER",
    "--output-split",
    "20000",
    "--output-split-cfuncs",
    "2000",
    "-fno-dfg-scoped",
    "-fno-table",
    "+define+MEADOW_SIMULATE_CLOCK_GATE",
)
# One function for all lanes instead of one copy per lane: a lane stays a class of its own, and
# nothing that is special about one of them (its number, the neighbour that drives it) may be folded
# into its code.
_CONTROL = """\
`verilator_config
no_inline -module "meadow_lane"
public_flat_rd -module "meadow_lane" -var "i_*"
public_flat_rd -module "meadow_lane" -var "o_*"
public_flat_rd -module "meadow_lane" -var "rst"
public_flat_rw -module "meadow_lane" -var "index"
"""
_NO_ROOM = "make room there, or set MEADOW_CACHE to a folder that has it"
_CAUSES = {
    "No space left on device": f"{_NO_ROOM} (and TMPDIR, if the compiler means that)",
    "Disk quota exceeded": _NO_ROOM,
    "File size limit exceeded": "raise the limit (ulimit -f)",
    "Killed signal terminated program": "most likely there is too little memory for the compiler",
}
"""What is wrong with the machine and not with the input, as the tools say it, and what helps."""
_SERIOUS = (
    "%Error",
    *(f"%Warning-{name}" for name in ("ALWNEVER", "LATCH", "MULTIDRIVEN", "NOLATCH", "COMBDLY")),
)


def build_library(
    verilog: str,
    *,
    ports: int,
    top: str = "meadow_top",
    trace: bool = False,
    jobs: int | None = None,
    log: Callable[[str], None] | None = None,
) -> Path:
    """Path of the shared library of `verilog`, built if the cache does not hold it.

    Parameters
    ----------
    verilog: text with the module `top`, whose ports carry the flat AXI names.
    ports: AXI4 masters of the design.
    trace: can write waveforms; takes longer to compile, and is slower also while it writes none.
    jobs: parallel compilations, all processors by default.
    log: told what is being built; without it that is said on stderr.

    Raises BuildError with the tool's own last lines if Verilator or the compiler fails, CacheError
    if there is no place for the library.
    """
    verilator = find_verilator()
    compiler = compiler_identity()
    sources = {name: (Path(__file__).parent / name).read_text("utf-8") for name in _HARNESS}
    options = (*_OPTIONS, "--top-module", top)
    if trace:
        sources |= {_WAVES: (Path(__file__).parent / _WAVES).read_text("utf-8"), **fst_texts()}
        options += fst_options(verilator, "..")
    flags = f"-fPIC -fvisibility=hidden -DMEADOW_PORTS={ports} -DVL_USER_STOP -DVL_USER_FATAL"
    variables = (*verilator.make_variables(".."), *_OPTIMISATION)
    key = content_hash(
        verilog,
        *sources.values(),
        _CONTROL,
        "\n".join((*options, flags, *variables)),
        verilator.identity,
        compiler,
    )

    def build(scratch: Path) -> None:
        texts = {"top.v": verilog, "control.vlt": _CONTROL, **sources}
        for name, text in texts.items():
            (scratch / name).parent.mkdir(exist_ok=True)
            (scratch / name).write_text(text, "utf-8")
        verilator.link(scratch)
        with announced(log) as tell:
            tell(
                f"building the simulator with {verilator.version} (once, minutes for large designs)"
            )
            _run(
                [
                    *(verilator.binary, *options, "--Mdir", _OBJECTS, "-CFLAGS", f"{flags} -I.."),
                    *("-LDFLAGS", "-shared", "-o", LIBRARY_NAME),
                    *("control.vlt", "top.v", "harness.cpp"),
                ],
                scratch,
                verilator.environment(),
            )
            count = len(list((scratch / _OBJECTS).glob("*.cpp")))
            tell(f"building the simulator: compiling {count} C++ files")
            jobs_option = f"-j{jobs or os.cpu_count() or 1}"
            _run(
                ["make", "-C", _OBJECTS, "-f", "Vtop.mk", jobs_option, *variables, LIBRARY_NAME],
                scratch,
                tool_environment(),
            )
        (scratch / _OBJECTS / LIBRARY_NAME).rename(scratch / LIBRARY_NAME)
        verilator.unlink(scratch)
        for path in [*scratch.iterdir()]:
            if path.name != LIBRARY_NAME:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return obtain(cache_directory() / "cosim" / key, build, log=log) / LIBRARY_NAME


def lint(verilog: str, *, top: str) -> list[str]:
    """Messages of Verilator's `--lint-only`: errors, and warnings of what simulates otherwise than
    it synthesises.
    """
    verilator = find_verilator()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "top.v").write_text(verilog, "utf-8")
        verilator.link(Path(folder))
        result = subprocess.run(
            [verilator.binary, "--lint-only", "-Wno-fatal", "--top-module", top, "top.v"],
            cwd=folder,
            env=verilator.environment(),
            capture_output=True,
            text=True,
            errors="backslashreplace",
        )
    return [line for line in result.stderr.splitlines() if line.startswith(_SERIOUS)]


def _run(command: list[str], directory: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
    )
    if result.returncode:
        name = Path(command[0]).name
        said = (result.stdout + result.stderr).strip()
        for words, advice in _CAUSES.items():
            if words in said:
                raise BuildError(f"{name} failed in {directory}: {words}; {advice}")
        lines = said.splitlines()
        errors = [line for line in lines if "rror" in line or "undefined" in line] or lines
        raise BuildError(
            f"{name} failed with code {result.returncode}:\n" + "\n".join(errors[-15:])
        )
