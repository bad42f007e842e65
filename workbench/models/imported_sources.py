# SPDX-License-Identifier: Apache-2.0
"""The source files that a module's results can depend on: its own and those of all it imports from
this project.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["imported_sources"]


def imported_sources(module: str, root: Path) -> list[Path]:
    """Files below `root` of `module` and, in turn, of every module there that it imports anywhere,
    sorted.

    `from package import name` counts as the package, and as the module `package.name` if there is
    one.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, root)
        if name in found or path is None:
            continue
        found[name] = path
        waiting.extend(_imports(path))
    return sorted(set(found.values()))


def _file_of(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next(
        (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None
    )


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            # A package's own file runs before the module in it.
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
