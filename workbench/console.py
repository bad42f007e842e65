# SPDX-License-Identifier: Apache-2.0
"""How a command talks: results on stdout, errors as one line on stderr and exit code 2.

Text is written whatever the terminal can show: a character that its encoding lacks is written as
    its escape.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import typer
from rich.console import Console, RenderableType
from typer.core import TyperGroup

from cosim.library import SimulationError
from cosim.verilator_build import BuildError
from firmware.device import DeviceError
from workbench.progress import settle

__all__ = [
    "EXIT_DIFFERENCE",
    "EXIT_ERROR",
    "EXIT_NO_READER",
    "ReportingGroup",
    "print_json",
    "printable",
    "say",
    "show",
]

EXIT_DIFFERENCE = 1
EXIT_ERROR = 2
EXIT_NO_READER = 128 + 13
"""Whoever read the output has gone: as a shell sees a command that SIGPIPE ended."""

_LEAST_COLUMNS = 80
"""Tables are not made narrower: a terminal wraps their lines, while a squeezed table would lose
figures.
"""


class ReportingGroup(TyperGroup):
    """The commands of `meadow`; a user's mistake is told in one line, neither boxed nor traced
    back.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line, with streams that take every character; quietly over when nobody
        reads them any more.
        """
        _open_missing_streams()
        for stream in (sys.stdout, sys.stderr):
            _take_every_character(stream)
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:
            _drop_output()
            sys.exit(EXIT_NO_READER)
        except OSError:  # not even the error could be told
            _drop_output()
            sys.exit(EXIT_ERROR)
        except SystemExit as ended:
            # rich, which writes the help, answers a reader that has gone with an exit of its own.
            if not isinstance(ended.__context__, BrokenPipeError):
                raise
            _drop_output()
            sys.exit(EXIT_NO_READER)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options before the command; without any argument the help is shown."""
        if not args:
            return super().parse_args(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            raise _told(_usage(error)) from None

    def invoke(self, ctx: Any) -> Any:
        """Run a command; wrong usage, ValueError, OSError, device and simulation errors end it with
        exit code 2.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(EXIT_NO_READER) from None
        except (ValueError, OSError, DeviceError, SimulationError) as error:
            raise _told(_message(error)) from None
        except typer.TyperException as error:
            raise _told(_usage(error)) from None
        finally:
            settle()


def _open_missing_streams() -> None:
    """A standard stream that was closed is none for Python, but the next file to be opened, and
    tools would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one


def _take_every_character(stream: TextIO | None) -> None:
    """Escapes for what the encoding lacks; a stream that was closed before the start is None, one
    of a test may be any.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What is still in the buffers has no reader: without this Python would complain about it at
    its end.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            sink = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(sink, stream.fileno())
            except (OSError, ValueError, AttributeError):
                continue  # not a stream of the system
            finally:
                os.close(sink)


def _told(message: str) -> typer.Exit:
    say(f"meadow: {message}", err=True)
    return typer.Exit(EXIT_ERROR)


def _message(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    if isinstance(error, (BuildError, SimulationError)):
        return text  # with the lines of the tool
    return printable(text)


def printable(text: str) -> str:
    """The text in one line: what comes out of a file may hold anything, line ends and terminal
    commands too.
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _usage(error: typer.TyperException) -> str:
    """What is wrong with a command line, and the value that is, which Typer leaves out."""
    details = getattr(error.__cause__, "errors", list)()
    value = f", not {details[0]['input']!r}" if details and "input" in details[0] else ""
    return f"{error.format_message().rstrip('.')}{value} (see --help)"


def say(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Text on stdout, or stderr, below the progress so far."""
    settle()
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        stream.write(text + "\n" if nl else text)
        stream.flush()


def show(*renderables: RenderableType) -> None:
    """Tables on stdout, below the progress so far."""
    settle()
    console = Console()
    if console.width < _LEAST_COLUMNS:
        console.width = _LEAST_COLUMNS
    # Written by `say`: rich itself ends the process when nobody reads.
    with console.capture() as drawn:
        for renderable in renderables:
            console.print(renderable)
    say(drawn.get(), nl=False)


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    say(json.dumps(values, indent=2, allow_nan=False))
