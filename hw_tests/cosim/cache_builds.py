# SPDX-License-Identifier: Apache-2.0
"""Builds for the tests of the cache."""

from __future__ import annotations

from pathlib import Path

__all__ = ["refuse", "write"]


def write(scratch: Path) -> None:
    """A build."""
    (scratch / "file").write_text("done")


def refuse(scratch: Path) -> None:
    """A build that must not be needed."""
    raise AssertionError("built again")
