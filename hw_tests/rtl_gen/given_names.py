# SPDX-License-Identifier: Apache-2.0
"""Where the names of signals come from: the source, or the bytecode of the Python that happens to
run.

Amaranth reads the name of a signal, port of a memory, interface or clock domain from the
instruction behind the call that makes it. Which instruction stands there is the same in every
Python for two forms only: `name = Signal()`, and a chain whose first target is an attribute,
`m.domains.sync = sync = ClockDomain()`. In a tuple, a comprehension, an argument, a walrus or a
chain that begins with a local name the compiler is free, and versions differ.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from amaranth import tracer
from amaranth.hdl import MemoryData

__all__ = ["names_itself", "taken_names", "unnamed_calls"]

_MAKERS = {"Signal", "Memory", "MemoryData", "ClockDomain", "IOPort", "Record"}
"""Classes of Amaranth that look for a name, called by their names or as attributes of a module."""
_METHODS = {"create", "like", "read_port", "write_port"}
"""Methods of Amaranth that do."""
_GIVEN = {"name", "name_suffix", "path"}


@cache
def _parents(path: Path) -> dict[ast.AST, ast.AST]:
    tree = ast.parse(path.read_text("utf-8"))
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def names_itself(call: ast.Call, parent: ast.AST) -> bool:
    """Whether every Python finds the same name behind `call`: it is all of an assignment that
    begins as said above.
    """
    if not isinstance(parent, ast.Assign | ast.AnnAssign) or parent.value is not call:
        return False
    targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
    return isinstance(targets[0], ast.Attribute) or (
        len(targets) == 1 and isinstance(targets[0], ast.Name)
    )


def unnamed_calls(path: Path) -> list[str]:
    """`line: text` of calls in the file `path` that make something with a name, but give it
    none.
    """
    return [
        f"{call.lineno}: {ast.unparse(call)}"
        for call, parent in _parents(path).items()
        if isinstance(call, ast.Call)
        and _makes(call.func)
        and not _GIVEN & {keyword.arg for keyword in call.keywords}
        and not names_itself(call, parent)
    ]


def _makes(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in _MAKERS
    return isinstance(function, ast.Attribute) and function.attr in _MAKERS | _METHODS


@contextmanager
def taken_names(patch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
    """While open, every name that Amaranth takes from a frame: {`path:line: name`: whether every
    Python finds it}.

    What is looked at is the call that really ran, in this project or in Amaranth's own library, so
    that neither an alias nor a helper between the two hides anything. Names of memories' data are
    left out: in Verilog a memory has the name of its submodule.
    """
    seen: dict[str, bool] = {}
    original: Callable[..., Any] = tracer.get_var_name

    def get_var_name(depth: int = 2, default: Any = tracer._raise_exception) -> Any:
        name = original(depth + 1, default)
        if sys._getframe(1).f_code is MemoryData.__init__.__code__:
            return name
        frame = sys._getframe(depth)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}: {name}"
        seen[place] = seen.get(place, True) and _found_by_all(frame)
        return name

    with patch.context() as patched:
        patched.setattr(tracer, "get_var_name", get_var_name)
        yield seen


def _found_by_all(frame: FrameType) -> bool:
    """Whether the call that `frame` is at names itself; calls are told apart by where they end."""
    _, end_line, _, end_column = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    path = Path(frame.f_code.co_filename)
    lines = path.read_bytes().splitlines()
    calls = [
        (node, parent)
        for node, parent in _parents(path).items()
        if isinstance(node, ast.Call)
        and (node.end_lineno, node.end_col_offset) == (end_line, end_column)
    ]
    assert len(calls) == 1, f"{path}:{end_line}: {lines[(end_line or 1) - 1]!r} is no single call"
    return names_itself(*calls[0])
