# SPDX-License-Identifier: Apache-2.0
"""Other Pythons that can generate Verilog, and environments for those that cannot yet.

`python -m hw_tests.rtl_gen.pythons` makes `.venv-pythonX.Y` beside `.venv` for every supported
Python on PATH or of pyenv that is not the running one, with the pinned packages that the generator
needs, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

__all__ = ["HOW_TO_PROVIDE", "other_pythons"]

HOW_TO_PROVIDE = (
    "needs a second Python with amaranth and numpy: `make test-pythons` makes environments for "
    "the Pythons on PATH or of "
    "pyenv, or name interpreters in MEADOW_PYTHONS (separated by colons)"
)

_ROOT = Path(__file__).resolve().parents[2]
_OLDEST = (3, 11)
_NEEDED = ("amaranth", "numpy")
_QUESTION = """
import importlib.metadata as metadata, json, sys
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps([sys.version_info[:2], {name: version(name) for name in sys.argv[1:]}]))
"""


def _package(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0]


def _requirements() -> list[str]:
    """What the generator needs, as pyproject.toml pins it."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [line for line in project["dependencies"] if _package(line) in _NEEDED]


def _ask(python: Path) -> tuple[tuple[int, int], dict[str, str | None]] | None:
    """Version of an interpreter and of the packages that it has; None if it does not run."""
    try:
        result = subprocess.run(
            [python, "-I", "-c", _QUESTION, *_NEEDED], capture_output=True, text=True, timeout=60
        )
        version, packages = json.loads(result.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (version[0], version[1]), packages


def _installed() -> list[Path]:
    """Interpreters on PATH and of pyenv."""
    roots = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser())
    roots += sorted(pyenv.glob("versions/3.*/bin"))
    return [
        path
        for root in roots
        for path in sorted(root.glob("python3.[0-9]*"))
        if re.fullmatch(r"python3\.\d+", path.name)
    ]


def _others(candidates: list[Path]) -> dict[tuple[int, int], tuple[Path, dict[str, str | None]]]:
    """The first interpreter of each supported version but the running one's, with its packages."""
    found: dict[tuple[int, int], tuple[Path, dict[str, str | None]]] = {}
    for path in candidates:
        answer = _ask(path)
        if answer is not None and answer[0] >= _OLDEST and answer[0] != sys.version_info[:2]:
            found.setdefault(answer[0], (path, answer[1]))
    return dict(sorted(found.items()))


def other_pythons() -> dict[str, Path]:
    """Interpreters that can generate, by version: those named in MEADOW_PYTHONS, else what is
    found.

    ValueError if one that is named has not the packages in the versions of pyproject.toml.
    """
    named = [Path(name) for name in os.environ.get("MEADOW_PYTHONS", "").split(":") if name]
    made = sorted(_ROOT.glob(".venv-python*/bin/python"))
    pinned = {_package(line): line.rpartition("==")[2] for line in _requirements()}
    usable = {}
    for version, (path, packages) in _others(named or [*made, *_installed()]).items():
        if packages == pinned:
            usable[".".join(map(str, version))] = path
        elif named:
            raise ValueError(f"MEADOW_PYTHONS: {path} has {packages}, the generator needs {pinned}")
    return usable


def _make_environments() -> None:
    for (major, minor), (path, _) in _others(_installed()).items():
        target = _ROOT / f".venv-python{major}.{minor}"
        python = target / "bin" / "python"
        if not python.exists():
            print(f"making {target.name} with {path}", flush=True)
            subprocess.run([path, "-m", "venv", target], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *_requirements()], check=True)


if __name__ == "__main__":
    _make_environments()
