# SPDX-License-Identifier: Apache-2.0
"""One entry of the cache: a folder of files and a list of them, by which it is seen whether it is
whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import IO, Any

from cosim.cache_trust import distrust

__all__ = ["LIST_NAME", "flaw", "seal"]

LIST_NAME = "entry.json"
_FORMAT = 1
_PIECE_BYTES = 1 << 20


def seal(folder: Path, name: str) -> None:
    """Make `folder` the entry `name`: no group and no other user may write it, and `entry.json`
    lists what it holds.

    The list is written last. It has the name, so that an entry is not believed in the place of
    another, and per file its size and SHA-256; of a symbolic link, where it leads. RuntimeError if
    there is no file or an empty one: what a build makes is never empty.
    """
    listed = {}
    for path in _contents(folder):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o755)
            continue
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o755)
            if not path.stat().st_size:
                raise RuntimeError(f"the build of {name} left {path.name} empty")
        listed[path.relative_to(folder).as_posix()] = _description(path)
    if not listed:
        raise RuntimeError(f"the build of {name} left nothing")
    text = json.dumps({"format": _FORMAT, "entry": name, "files": listed}, indent=1)
    (folder / LIST_NAME).write_text(text + "\n", "utf-8")
    (folder / LIST_NAME).chmod((folder / LIST_NAME).stat().st_mode & 0o755)
    folder.chmod(folder.stat().st_mode & 0o755)


def flaw(folder: Path, name: str) -> str | None:
    """What is wrong with the entry `name` in `folder`, as a piece of a sentence; None if it is
    whole and to be trusted.

    Files are read in pieces of 1 MiB. Files that the list does not name do not matter.
    """
    try:
        listed = _listed(folder, name)
        if isinstance(listed, str):
            return listed
        for path in (folder, folder / LIST_NAME):
            if (reason := distrust(path)) is not None:
                return reason
        for relative, expected in listed.items():
            path = folder / relative
            if not path.is_symlink() and (reason := distrust(path)) is not None:
                return reason
            found = _description(path)
            if found != expected:
                return _difference(relative, expected, found)
    except ValueError:  # a name that no file can have
        return f"{LIST_NAME} is damaged"
    except FileNotFoundError as error:
        return f"{Path(error.filename or folder).name} is missing"
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    return None


def _contents(folder: Path) -> list[Path]:
    return [
        path for path in sorted(folder.rglob("*")) if path.relative_to(folder).parts != (LIST_NAME,)
    ]


def _listed(folder: Path, name: str) -> dict[str, Any] | str:
    """The files of the list, or why it is none."""
    file = _opened(folder / LIST_NAME)
    if file is None:
        return f"{LIST_NAME} is no file"
    try:
        with file:
            read = json.loads(file.read().decode("utf-8"))
    except (ValueError, RecursionError):
        return f"{LIST_NAME} is damaged"
    match read:
        case {"format": 1, "entry": str(entry), "files": dict(files)} if files:
            return files if entry == name else f"it is {entry}"
    return f"{LIST_NAME} is of another version"


def _description(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, or where a symbolic link leads; no size for anything else."""
    if path.is_symlink():
        return {"link": os.readlink(path)}
    digest, size = hashlib.sha256(), 0
    file = _opened(path)
    if file is None:
        return {"bytes": None}
    with file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _opened(path: Path) -> IO[bytes] | None:
    """The regular file at `path`, None for anything else; a pipe is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def _difference(relative: str, expected: Any, found: dict[str, Any]) -> str:
    if found.get("bytes", 0) is None:
        return f"{relative} is no file"
    if isinstance(expected, dict) and expected.get("bytes") != found.get("bytes", -1) >= 0:
        return f"{relative} has {found.get('bytes')} bytes, not {expected.get('bytes')}"
    return f"{relative} is not what was built"
