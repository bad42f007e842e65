# SPDX-License-Identifier: Apache-2.0
"""Lines of a user, from a terminal or a file, and the Ctrl-C that ends an answer."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType

from workbench.console import say

__all__ = ["StopRequest", "user_lines"]

_PROMPT = "> "


class StopRequest:
    """A context in which the first Ctrl-C is a request and the second a KeyboardInterrupt.

    Members
    -------
    asked : whether there was one.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> StopRequest:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def user_lines(*, quiet: bool) -> Iterator[str]:
    """Lines that are not empty, until the input ends; on a terminal with a prompt in front, until
    Ctrl-D or a second Ctrl-C.

    quiet: standard output is not for the user, who is asked on standard error. Bytes that are no
    text of the input's encoding come as lone surrogates: no tokenizer takes them, so that the turn
    is refused, and not the whole chat.
    """
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="surrogateescape")
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip():
                yield line.strip()
        return
    warned = False
    while True:
        try:
            line = _asked(quiet=quiet).strip()
        except EOFError:
            say(err=True)
            return
        except KeyboardInterrupt:
            say(err=True)
            if warned:
                return
            warned = True
            say("Ctrl-C once more, or Ctrl-D, leaves", err=True)
            continue
        warned = False
        if line:
            yield line


def _asked(*, quiet: bool) -> str:
    if quiet or not sys.stdout.isatty():
        say(_PROMPT, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line
    # It gives `input` its line editing; a Python may have been built without it.
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")
    return input(_PROMPT)
