# SPDX-License-Identifier: Apache-2.0
"""What takes long: a line on stderr each, with the time so far beside a spinner on a terminal, else
every half minute. What knows how far it is has a bar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cosim.announce import Announcer

__all__ = ["bar", "log", "settle", "tick"]

_running: list[tuple[Progress, str]] = []
"""At most one spinner, and the line that stays when it goes."""


def _line(text: str) -> None:
    typer.echo(text, err=True)


_lines = Announcer(_line)
"""Where there is no terminal."""


def _console() -> Console:
    return Console(stderr=True)


def log(text: str) -> None:
    """Say on stderr what begins now; on a terminal it spins until the next `log` or `settle`, else
    the line comes again.
    """
    settle()
    console = _console()
    if not console.is_terminal:
        _lines(text)
        return
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    progress.add_task(text, total=None)
    progress.start()
    _running.append((progress, text))


def tick(text: str) -> None:
    """How far it is: changes the words beside the spinner, or those of the next line with the
    time.
    """
    _lines.update(text)
    for progress, _ in _running:
        progress.update(progress.task_ids[0], description=text)


def settle() -> None:
    """End the spinner, before anything is written to the same terminal; its line stays."""
    _lines.end()
    while _running:
        progress, text = _running.pop()
        progress.stop()
        progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(text: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr while the block runs; what it gives is called with the share of the work that
    was done since the last call, all shares together being 1. Without a terminal the line of `log`
    says how far it is.
    """
    settle()
    console = _console()
    if not console.is_terminal:
        yield _told_shares(text)
        settle()
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as shown:
        task = shown.add_task(text, total=1.0)
        yield lambda share: shown.advance(task, share)


def _told_shares(text: str) -> Callable[[float], None]:
    done = 0.0
    _lines(text)

    def advance(share: float) -> None:
        nonlocal done
        done += share
        _lines.update(f"{text}: {done:.0%}")

    return advance
