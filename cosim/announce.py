# SPDX-License-Identifier: Apache-2.0
"""Lines about work that takes long, and how long it has taken so far."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["INTERVAL_SECONDS", "Announcer", "announced"]

INTERVAL_SECONDS = 30.0
"""Time between two lines about the same work."""

_REMARK = re.compile(r" \([^()]*\)$")


def _on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Announcer:
    """Called with what begins, it says so, and again with the elapsed time while nothing else
    begins.

    Parameters
    ----------
    say: told each line; by default it is written to stderr.
    interval_s: seconds between the lines about the same work.

    The lines with the time come from a thread of their own, so that work that never returns to
    Python has them too.
    """

    def __init__(
        self, say: Callable[[str], None] = _on_stderr, *, interval_s: float | None = None
    ) -> None:
        self._say = say
        self._interval_s = interval_s
        self._text = ""
        self._ended: threading.Event | None = None

    def __call__(self, text: str) -> None:
        """Say what begins now."""
        self.end()
        self._say(text)
        self._text = text
        self._ended = threading.Event()
        threading.Thread(
            target=self._repeat, args=(self._ended, time.monotonic()), daemon=True
        ).start()

    def update(self, text: str) -> None:
        """What the next line with the time says instead."""
        self._text = text

    def end(self) -> None:
        """Nothing more is said about the work."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _repeat(self, ended: threading.Event, start: float) -> None:
        interval = INTERVAL_SECONDS if self._interval_s is None else self._interval_s
        while not ended.wait(interval):
            text = _REMARK.sub("", self._text)
            verb = "still" if re.match(r"[a-z]+ing\b", text) else "still at"
            self._say(f"{verb} {text}, {time.monotonic() - start:.0f} s")


@contextmanager
def announced(log: Callable[[str], None] | None) -> Iterator[Callable[[str], None]]:
    """What to tell about a piece of work: `log`, or without one an Announcer on stderr that ends
    with the block.

    A caller's `log` shows elapsed time in its own way.
    """
    if log is not None:
        yield log
        return
    announcer = Announcer()
    try:
        yield announcer
    finally:
        announcer.end()
