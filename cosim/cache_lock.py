# SPDX-License-Identifier: Apache-2.0
"""Locks between processes that leave no file behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["locked", "try_locked"]

_MOMENT_SECONDS = 1.0
_ATTEMPT_SECONDS = 0.05


@contextmanager
def locked(path: Path, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` among all processes and threads of this machine; it is released
    when a process dies.

    waiting: told once who holds it, if it is not free after a second. The file is removed by its
    holder, while it is held. Who gets a lock on a file that is no longer the one at `path` has
    nothing and tries again, so that there is never a second holder.
    """
    descriptor = None
    while descriptor is None:
        descriptor = _attempt(path, lambda file: _wait(file, waiting))
    with suppress(OSError):  # on a full disk nobody is told who holds it
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    try:
        yield
    finally:
        _release(path, descriptor)


@contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Whether the lock was free: then it is held in the block, without waiting for anybody."""
    descriptor = _attempt(path, _lock_now)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def _attempt(path: Path, lock: Callable[[int], bool]) -> int | None:
    """The locked file, None if it was not free or was removed by its last holder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    kept = False
    try:
        kept = lock(descriptor) and _is_at(path, descriptor)
    finally:
        if not kept:
            os.close(descriptor)
    return descriptor if kept else None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, waiting: Callable[[str], None] | None) -> bool:
    deadline = time.monotonic() + _MOMENT_SECONDS
    while time.monotonic() < deadline:
        if _lock_now(descriptor):
            return True
        time.sleep(_ATTEMPT_SECONDS)
    if waiting is not None:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        waiting(f"process {holder}" if holder.isdecimal() else "another process")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True
