# SPDX-License-Identifier: Apache-2.0
"""Where built things are kept, how two processes build one thing once, and how it is seen that a
thing is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from cosim.announce import announced
from cosim.build_guard import guarded
from cosim.cache_entry import flaw, seal
from cosim.cache_lock import locked, try_locked
from cosim.cache_trust import distrust

__all__ = ["CacheError", "cache_directory", "content_hash", "lend_tools_a_cache", "obtain"]

_ROOT = Path(__file__).resolve().parents[1]
_REMEDY = "set MEADOW_CACHE to a folder of your own"
_SCRATCH = re.compile(r"(.+)\.[a-z0-9_]{8}")
_LOCK = ".lock"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class CacheError(ValueError):
    """The cache folder cannot be used; the message says why and what to set."""


def cache_directory() -> Path:
    """The folder that built things are kept in.

    `$MEADOW_CACHE` if it is set; else `build` beside the sources of a checkout, and where that
    cannot be written, `meadow` in `$XDG_CACHE_HOME` or `~/.cache`. CacheError if there is no such
    folder, or if others could put programs into it (`cosim.cache_trust`).
    """
    chosen = os.environ.get("MEADOW_CACHE")
    if chosen:
        folder = Path(os.path.abspath(os.path.expanduser(chosen)))
        if (reason := _unusable(folder, writable=False)) is not None:
            raise CacheError(f"MEADOW_CACHE: {reason}; {_REMEDY}")
        return folder
    reasons = []
    for folder in _default_folders():
        reason = _unusable(folder, writable=True)
        if reason is None:
            return folder
        reasons.append(reason)
    raise CacheError(f"no folder for what is built: {'; '.join(reasons) or 'no home'}; {_REMEDY}")


def lend_tools_a_cache() -> None:
    """Let tools keep their own caches in ours where the user's cannot be written; Yosys does not
    start without one.
    """
    home = _user_cache()
    try:
        if home is not None:
            home.mkdir(parents=True, exist_ok=True)  # as the tools would
        usable = home is not None and os.access(home, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        with suppress(CacheError, OSError):
            folder = cache_directory() / "tools"
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            os.environ["XDG_CACHE_HOME"] = str(folder)


def content_hash(*parts: str | bytes) -> str:
    """24 hexadecimal digits over the parts and their boundaries."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


def obtain(
    target: Path, build: Callable[[Path], None], *, log: Callable[[str], None] | None = None
) -> Path:
    """The directory `target`, made by `build(scratch)` if it does not exist or is not whole.

    `build` fills an empty scratch directory, which becomes `target` when it returns: nothing
    half-built is ever found there, and of several processes one builds while the others wait. An
    entry that was damaged, cut or put there by somebody else is built again. Whatever `build`
    raises is raised, and nothing is left of it; of a process that was killed, the next call in the
    same folder removes what is left. Programs that `build` started do not outlive it.

    log: told of a damaged entry and of a wait for another process; without it they are said on
        stderr.

    Raises CacheError if the folder cannot be written, is full, or could be written by others.
    """
    folder, name = target.parent, f"{target.parent.name}/{target.name}"
    try:
        if folder.is_dir():
            _check_trust(folder)
            _sweep(folder)
            if flaw(target, name) is None:
                return target
        else:
            folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            folder.mkdir(mode=0o755, exist_ok=True)
            _check_trust(folder)
        with announced(log) as tell, _ends_by_exception():
            with locked(
                target.with_name(target.name + _LOCK),
                waiting=lambda who: tell(f"waiting for {who}, which builds {name} now"),
            ):
                problem = flaw(target, name) if os.path.lexists(target) else "not built yet"
                if problem is None:
                    return target
                if os.path.lexists(target):
                    tell(f"building {name} of the cache again: {problem}")
                    _discard(target)
                _remove_scratch(folder, target.name)
                _build(target, build, name)
    except OSError as error:
        explained = _explained(error, folder)
        if explained is None:
            raise
        raise explained from error
    return target


def _build(target: Path, build: Callable[[Path], None], name: str) -> None:
    scratch = _beside(target)
    scratch.mkdir()  # as readable as the umask says, which mkdtemp would not do
    lend_tools_a_cache()
    try:
        with guarded():
            build(scratch)
        seal(scratch, name)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.{secrets.token_hex(4)}")


def _discard(target: Path) -> None:
    """Out of the way first: what belongs to somebody else can perhaps be renamed and not
    removed.
    """
    aside = _beside(target)
    target.rename(aside)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink()


def _sweep(folder: Path) -> None:
    """Remove the scratch directories and lock files of processes that were killed: nobody holds
    their locks.
    """
    names = set()
    for name in os.listdir(folder):
        if name.endswith(_LOCK):
            names.add(name.removesuffix(_LOCK))
        elif match := _SCRATCH.fullmatch(name):
            names.add(match[1])
    for name in names:
        with suppress(OSError), try_locked(folder / (name + _LOCK)) as free:
            if free:
                _remove_scratch(folder, name)


def _remove_scratch(folder: Path, name: str) -> None:
    """Of the entry `name`, whose lock is held."""
    for path in list(folder.iterdir()):
        match = _SCRATCH.fullmatch(path.name)
        if match is not None and match[1] == name:
            shutil.rmtree(path, ignore_errors=True)


def _check_trust(folder: Path) -> None:
    for path in (folder, folder.parent):
        if (reason := distrust(path)) is not None:
            raise CacheError(f"the cache is not safe to use: {reason}; mend that, or {_REMEDY}")


def _default_folders() -> list[Path]:
    folders = []
    if (_ROOT / "pyproject.toml").is_file():
        folders.append(_ROOT / "build")
    home = _user_cache()
    if home is not None:
        folders.append(home / "meadow")
    return folders


def _user_cache() -> Path | None:
    """Folder of the user's caches, None for a user without a home."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" if home.is_absolute() and home != Path("/") else None


def _unusable(folder: Path, *, writable: bool) -> str | None:
    """Why `folder` cannot hold the cache, None if it can."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            return f"{there} is not a folder"
        if there == folder and (reason := distrust(folder)) is not None:
            return reason
        if writable and not os.access(there, os.W_OK | os.X_OK):
            return f"{there} cannot be written"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


def _explained(error: OSError, folder: Path) -> CacheError | None:
    """The error with its place and what to do, if it is about the cache's folder; None if it is the
    builder's own.
    """
    place = str(error.filename) if error.filename is not None else str(folder)
    if error.errno in _NO_ROOM:
        return CacheError(
            f"{error.strerror}: {place}; make room there, or set MEADOW_CACHE to a folder that "
            f"has it"
        )
    if error.filename is None or Path(place).is_relative_to(folder):
        return CacheError(f"cannot build in the cache: {error.strerror}: {place}; {_REMEDY}")
    if folder.is_relative_to(place):
        return CacheError(f"no cache: {error.strerror}: {place}; {_REMEDY}")
    return None


class _Ended(BaseException):
    """A signal asks the process to end."""


@contextmanager
def _ends_by_exception() -> Iterator[None]:
    """SIGTERM and SIGHUP leave the block like any exception, so that it cleans up, and end the
    process after it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            raise _Ended

    previous = {
        number: signal.signal(number, end)
        for number in _ENDING
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    except _Ended:
        pass
    finally:
        for number, action in previous.items():
            signal.signal(number, action)
        if received:
            os.kill(os.getpid(), received[0])
