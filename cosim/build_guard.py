# SPDX-License-Identifier: Apache-2.0
"""No compiler outlives the process that builds with it, however that process ends.

A build starts make, which starts g++, which starts cc1plus; a generator starts Yosys. When their
parent is killed, nobody tells them. So while something is built, this file runs as a second
process. It holds the end of a pipe that closes when the first process ends a build or dies, SIGKILL
included, and then it ends every process that still carries the build's mark in its environment.
Needs /proc; where there is none, programs run to their end.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["MARK_VARIABLE", "guarded"]

MARK_VARIABLE = "MEADOW_BUILD"
"""Environment variable that every program started by a build inherits."""

_ATTEMPT_SECONDS = 0.02
_PATIENCE_SECONDS = 10.0
_QUIET_SCANS = 3
"""A program that is being started has no environment for a moment."""

_turn = threading.RLock()
"""The environment is one for all threads, so they build one after the other."""


@contextmanager
def guarded() -> Iterator[None]:
    """Whatever programs the block starts have ended when it is left, or soon after this process has
    died.

    Blocks may be nested. Programs must inherit `MEADOW_BUILD`.
    """
    with _turn:
        mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        outer = os.environ.get(MARK_VARIABLE)
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", os.path.abspath(__file__), mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        os.environ[MARK_VARIABLE] = mark
        try:
            yield
        finally:
            if outer is None:
                del os.environ[MARK_VARIABLE]
            else:
                os.environ[MARK_VARIABLE] = outer
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()


def _carriers(entry: bytes) -> Iterator[int]:
    """Processes with `entry` in their environment; those of other users are not ours."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if entry in file.read().split(b"\0"):
                    yield int(name)


def _watch(mark: str) -> None:
    """Wait until standard input closes, then end all that carry the mark."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    entry = f"{MARK_VARIABLE}={mark}".encode()
    deadline, quiet = time.monotonic() + _PATIENCE_SECONDS, 0
    while quiet < _QUIET_SCANS and time.monotonic() < deadline:
        found = False
        for process in _carriers(entry):
            found = True
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        time.sleep(_ATTEMPT_SECONDS)


if __name__ == "__main__" and os.path.isdir("/proc"):
    _watch(sys.argv[1])
