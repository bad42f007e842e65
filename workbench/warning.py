# SPDX-License-Identifier: Apache-2.0
"""Warnings: lines of their own on stderr, in colour on a terminal, whatever form the report has."""

from __future__ import annotations

import typer

from workbench.console import say

__all__ = ["warn"]


def warn(text: str) -> None:
    """Say that a result is not what a user may take it for."""
    say(typer.style(f"warning: {text}", fg="yellow", bold=True), err=True)
