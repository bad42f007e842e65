# SPDX-License-Identifier: Apache-2.0
"""How a command talks: results on stdout, errors as one line on stderr and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from cosim.library import SimulationError
from cosim.verilator_build import BuildError
from firmware.device import DeviceError
from workbench.progress import settle

__all__ = ["EXIT_DIFFERENCE", "EXIT_ERROR", "ReportingGroup", "print_json", "say"]

EXIT_DIFFERENCE = 1
EXIT_ERROR = 2


class ReportingGroup(TyperGroup):
    """The commands of `meadow`; a user's mistake is told in one line, neither boxed nor traced back."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options before the command; without any argument the help is shown."""
        if not args:
            return super().parse_args(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            raise _told(_usage(error)) from None

    def invoke(self, ctx: Any) -> Any:
        """Run a command; wrong usage, ValueError, OSError, device and simulation errors end it with exit code 2."""
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, DeviceError, SimulationError) as error:
            raise _told(_message(error)) from None
        except typer.TyperException as error:
            raise _told(_usage(error)) from None
        finally:
            settle()


def _told(message: str) -> typer.Exit:
    settle()
    typer.echo(f"meadow: {message}", err=True)
    return typer.Exit(EXIT_ERROR)


def _message(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    if isinstance(error, (BuildError, SimulationError)):
        return text  # with the lines of the tool
    # Names out of a file may hold anything, line ends and terminal commands too.
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _usage(error: typer.TyperException) -> str:
    """What is wrong with a command line, and the value that is, which Typer leaves out."""
    details = getattr(error.__cause__, "errors", list)()
    value = f", not {details[0]['input']!r}" if details and "input" in details[0] else ""
    return f"{error.format_message().rstrip('.')}{value} (see --help)"


def say(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Text on stdout, or stderr, below the progress so far."""
    settle()
    typer.echo(text, nl=nl, err=err)


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    say(json.dumps(values, indent=2, allow_nan=False))
