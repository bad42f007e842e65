# SPDX-License-Identifier: Apache-2.0
"""The console script `meadow`: first it looks whether the packages that it is about to import are
those of MEADOW, whose names are of the kind that others use too.

It imports none of them before, and has a name that nobody else uses.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PACKAGES", "collisions", "hidden_packages", "main"]

PACKAGES = ("boards", "cocotb_bench", "cosim", "firmware", "meadow", "rtl_gen", "workbench")
"""All packages that MEADOW installs."""
_ADVICE = "install MEADOW in an environment of its own"


def _found(name: str) -> Path | None:
    """The file that an import of `name` would run first."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def collisions(root: Path) -> Iterator[str]:
    """What stands in the place of a package of MEADOW, which is installed in `root`: another that
    Python finds first, or files of another distribution in the same folder.
    """
    for name in PACKAGES:
        found = _found(name)
        if found is None:
            yield f"package {name} is missing in {root}"
        elif found != root / name / "__init__.py":
            yield f"package {name} is not that of MEADOW, but {found}"
    for distribution in importlib.metadata.distributions(path=[str(root)]):
        files = "\n" + (distribution.read_text("RECORD") or "")
        if f"\n{Path(__file__).name}," in files:  # MEADOW itself
            continue
        for name in PACKAGES:
            if f"\n{name}/" in files or f"\n{name}.py," in files:
                yield f"package {name} is also one of {distribution.name} {distribution.version}"


def hidden_packages(root: Path) -> Iterator[str]:
    """Packages of others that Python does not find, since those of MEADOW have their names."""
    for folder in dict.fromkeys(Path(entry).resolve() for entry in sys.path):
        for name in PACKAGES:
            for file in (folder / name / "__init__.py", folder / f"{name}.py"):
                if folder != root and file.is_file() and file != _found(name):
                    yield f"package {name} of MEADOW hides {file}"


def main() -> None:
    """The command; one line and exit code 2 if a package that it needs is another's, one line more
    on stderr if it hides another's.
    """
    root = Path(__file__).resolve().parent
    fault = next(collisions(root), None)
    if fault is not None:
        print(f"meadow: {fault}: {_ADVICE}", file=sys.stderr)
        sys.exit(2)
    note = next(hidden_packages(root), None)
    if note is not None:
        print(f"meadow: {note}: {_ADVICE} if that is needed", file=sys.stderr)
    from workbench.cli import main as command

    command()
