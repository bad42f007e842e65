# SPDX-License-Identifier: Apache-2.0
"""Output files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

__all__ = [
    "OutputError",
    "check_apart",
    "check_folder",
    "check_replaceable",
    "made_folder",
    "replacing",
    "write_files",
]


class OutputError(OSError):
    """An output file cannot be written; the message says which and why."""


@contextmanager
def replacing(path: str | os.PathLike[str], what: str) -> Iterator[IO[bytes]]:
    """A binary file that becomes `path` when the block ends; if it raises, `path` stays what it
    was.

    A link keeps its name and its target is replaced. OutputError "cannot write `what`: ..." with
    the path if it cannot be
    written, or if it is there and no regular file: a device such as /dev/null must not become a
        file.
    """
    with _staged(path, what) as (file, target):
        yield file
        _finish(file)
        Path(file.name).replace(target)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """All of `files`, by their paths below `folder`, or none.

    A folder that is not there appears with everything in it. In one that is there, all files are
    written before the first takes its place; what else is in it stays. OutputError as `replacing`.
    """
    if os.path.lexists(folder):
        _write_below(folder, files)
        return
    with (
        _naming(folder, folder.name),
        made_folder(folder.parent),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch,
    ):
        new = Path(scratch) / "new"
        new.mkdir()
        _write_below(new, files)
        new.rename(folder)


def _write_below(folder: Path, files: Mapping[str, bytes]) -> None:
    with ExitStack() as stack:
        staged = []
        for name, content in files.items():
            path = folder / name
            with _naming(path, name):
                stack.enter_context(made_folder(path.parent))
                file, target = stack.enter_context(_staged(path, name))
                file.write(content)
                _finish(file)
            file.close()  # there may be more files than a process may have open
            staged.append((path, name, Path(file.name), target))
        for path, name, temporary, target in staged:
            with _naming(path, name):
                temporary.replace(target)


@contextmanager
def _staged(path: str | os.PathLike[str], what: str) -> Iterator[tuple[IO[bytes], Path]]:
    """A new file beside `path`, which is gone when the block ends unless it was renamed, and the
    file that it is to replace, links followed.
    """
    target = _target(path, what)
    temporary: Path | None = None
    process = os.getpid()
    try:
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file, target
    except OutputError:
        raise  # of a file that is written inside of this block
    except OSError as error:
        raise _named(error, path, what) from error
    finally:
        # A forked child's copy of the block ends with the child; the file is its parent's.
        if temporary is not None and os.getpid() == process:
            temporary.unlink(missing_ok=True)


def _finish(file: IO[bytes]) -> None:
    """Everything is on the disk, and as readable as any new file: a temporary one is private."""
    file.flush()
    os.fsync(file.fileno())
    mask = os.umask(0)
    os.umask(mask)
    Path(file.name).chmod(0o666 & ~mask)


@contextmanager
def _naming(path: Path, what: str) -> Iterator[None]:
    """An error says which of several files it is of."""
    try:
        yield
    except OutputError:
        raise  # it says so already
    except OSError as error:
        raise _named(error, path, what) from error


def check_replaceable(path: str | os.PathLike[str], what: str) -> None:
    """The OutputError of `replacing` before the work that is to be written, not after it."""
    target = _target(path, what)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise _named(error, path, what) from error


def check_apart(path: str | os.PathLike[str], inputs: Iterable[Path], what: str) -> None:
    """OutputError if the output `what` would replace one of the files that it is made from, links
    followed.
    """
    target = _target(path, what)
    if target.exists() and any(target.samefile(file) for file in inputs):
        raise _named(OSError(errno.EINVAL, "It is made from this file"), path, what)


def check_folder(folder: Path, what: str) -> None:
    """OutputError unless files can be made in `folder`, which need not be there yet and is not
    made.
    """
    there = folder
    try:
        while not _is_there(there):
            there = there.parent
        with tempfile.TemporaryDirectory(dir=there, prefix=".meadow."):
            pass
    except OSError as error:
        raise _named(error, there, what) from error


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """`folder` and what lies above it, made where they are missing; if the block raises, those that
    were made are gone.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):  # one that is not empty stays, and those above it
            for path in missing:
                path.rmdir()
        raise


def _is_there(path: Path) -> bool:
    """As os.path.lexists, but a name that no folder takes is an error."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _target(path: str | os.PathLike[str], what: str) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise _named(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path, what)
    if target.exists() and not target.is_file():
        raise _named(OSError(errno.EINVAL, "Not a regular file"), path, what)
    return target


def _named(error: OSError, path: str | os.PathLike[str], what: str) -> OutputError:
    return OutputError(error.errno, f"cannot write {what}: {error.strerror}", str(path))
