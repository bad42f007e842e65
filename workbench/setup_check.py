# SPDX-License-Identifier: Apache-2.0
"""Run by the system's Python before anything is installed: is there all that `make setup` cannot
install?
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable

__all__ = ["APT_LINE", "main", "missing", "unusable_place"]

APT_LINE = "apt-get install -y python3-venv g++ make"
MINIMUM = (3, 11)


def missing(
    version: tuple[int, ...] = tuple(sys.version_info[:2]),
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None,
    has_tool: Callable[[str], bool] = lambda name: shutil.which(name) is not None,
) -> list[str]:
    """What is missing, as the user knows it; empty if everything is there."""
    found = []
    if version < MINIMUM:
        found.append(
            f"Python {MINIMUM[0]}.{MINIMUM[1]} or later (this is {version[0]}.{version[1]}; "
            "choose another with make PYTHON=...)"
        )
    if not (has_module("venv") and has_module("ensurepip")):
        found.append("python3-venv")
    found += [tool for tool in ("g++", "make") if not has_tool(tool)]
    return found


def unusable_place(folder: str) -> str | None:
    """What is wrong with a checkout in `folder`, None if an environment can be made there."""
    if os.pathsep in folder:
        return f"{folder} holds {os.pathsep!r}, which no Python environment can: move the checkout"
    return None


def main() -> int:
    """Print what is missing, or wrong with the place, and what mends it to stderr; 0 if nothing
    is.
    """
    wrong = unusable_place(os.getcwd())
    if wrong is not None:
        print(wrong, file=sys.stderr)
        return 1
    found = missing()
    if not found:
        return 0
    print(f"missing: {', '.join(found)}", file=sys.stderr)
    print(f"install with: {APT_LINE}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
