# SPDX-License-Identifier: Apache-2.0
"""Warnings: lines of their own on stderr, in colour on a terminal, whatever form the report has."""

from __future__ import annotations

from rich.console import Console

from workbench.console import printable
from workbench.progress import settle

__all__ = ["warn"]


def warn(text: str) -> None:
    """Say that a result is not what a user may take it for."""
    settle()
    Console(stderr=True).print(
        f"meadow: WARNING: {printable(text)}",
        style="bold yellow",
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )
