# SPDX-License-Identifier: Apache-2.0
"""Builds for the tests of the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["refuse", "sleepers", "soon", "write"]


def write(scratch: Path) -> None:
    """A build."""
    (scratch / "file").write_text("done")


def refuse(scratch: Path) -> None:
    """A build that must not be needed."""
    raise AssertionError("built again")


def sleepers(builder: int) -> list[str]:
    """Processes that carry the mark of the builder's build."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"MEADOW_BUILD={builder}-".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return found


def soon(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether `condition` becomes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())
