# SPDX-License-Identifier: Apache-2.0
"""Where built things are kept, and how two processes build one thing once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_directory", "content_hash", "locked", "obtain"]

_ROOT = Path(__file__).resolve().parents[1]


def cache_directory() -> Path:
    """`$MEADOW_CACHE`, else `build` beside the sources of a checkout, else `~/.cache/meadow`."""
    chosen = os.environ.get("MEADOW_CACHE")
    if chosen:
        return Path(chosen)
    if (_ROOT / "pyproject.toml").is_file():
        return _ROOT / "build"
    return Path.home() / ".cache" / "meadow"


def content_hash(*parts: str | bytes) -> str:
    """24 hexadecimal digits over the parts and their boundaries."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` among all processes of this machine; it is released when a process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def obtain(target: Path, build: Callable[[Path], None]) -> Path:
    """The directory `target`, made by `build(scratch)` if it does not exist yet.

    `build` fills an empty scratch directory, which is renamed to `target` when it returns: nothing half-built is
    ever found there, and of several processes one builds while the others wait. Whatever `build` raises is raised.
    """
    if target.is_dir():
        return target
    with locked(target.with_name(target.name + ".lock")):
        if target.is_dir():
            return target
        scratch = Path(tempfile.mkdtemp(prefix=target.name + ".", dir=target.parent))
        try:
            build(scratch)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return target
