# SPDX-License-Identifier: Apache-2.0
"""How a command talks: results on stdout, progress on stderr, errors as one line and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from cosim.library import SimulationError
from firmware.device import DeviceError

__all__ = ["EXIT_DIFFERENCE", "EXIT_ERROR", "ReportingGroup", "log", "print_json"]

EXIT_DIFFERENCE = 1
EXIT_ERROR = 2


class ReportingGroup(TyperGroup):
    """The commands of `meadow`; what their packages raise for a user's mistake is told, not traced back."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; ValueError, OSError, device and simulation errors end it with exit code 2."""
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, DeviceError, SimulationError) as error:
            typer.echo(f"meadow: {_message(error)}", err=True)
            raise typer.Exit(EXIT_ERROR) from None


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__


def log(text: str) -> None:
    """A line of progress, on stderr."""
    typer.echo(text, err=True)


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(values, indent=2, allow_nan=False))
