# SPDX-License-Identifier: Apache-2.0
"""Signals that ask a process to end become exceptions, so that what it has open is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from firmware.board.errors import Terminated

__all__ = ["ending_by_exception"]

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP is what ends a command when the ssh connection that started it is cut."""


@contextmanager
def ending_by_exception() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise Terminated in the main thread, unless the program has a
    handler of its own; Ctrl-C is KeyboardInterrupt anyway.
    """
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number in taken:
                signal.signal(number, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(128 + number)
