# SPDX-License-Identifier: Apache-2.0
"""Planted bugs: a class made again from its changed source text."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

__all__ = ["mutant"]


def mutant(original: type, old: str, new: str, **parts: Any) -> type:
    """`original` with the text `old` of its source replaced by `new`, and with other classes, or
    other values, where it names `parts`.

    With `old` empty only the parts differ. ValueError if the source does not hold `old` exactly
    once: a planted bug that no longer applies must not pass for one that was found.
    """
    source = textwrap.dedent(inspect.getsource(original))
    if old and source.count(old) != 1:
        raise ValueError(f"{original.__name__} holds {old!r} {source.count(old)} times, not once")
    for name in parts:
        if name not in source:
            raise ValueError(f"{original.__name__} does not use {name}")
    space = {**vars(sys.modules[original.__module__]), **parts}
    exec(compile(source.replace(old, new), f"<mutant of {original.__name__}>", "exec"), space)
    return space[original.__name__]
