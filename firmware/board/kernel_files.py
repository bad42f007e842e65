# SPDX-License-Identifier: Apache-2.0
"""Attributes of the kernel in sysfs and configfs: small files that hold one value each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from firmware.board.errors import BoardError

__all__ = ["read_attribute", "read_number", "wait_until", "write_attribute"]

_MOST_BYTES = 4096
_PAUSE_S = 0.01


def read_attribute(path: Path) -> str:
    """The value, without the end of its line; BoardError if there is no such attribute."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise BoardError(f"the kernel does not have {path}") from None
    try:
        return os.read(file, _MOST_BYTES).decode(errors="replace").strip()
    finally:
        os.close(file)


def read_number(path: Path) -> int:
    """The value as a number, with `0x` before a hexadecimal one; BoardError if it is none."""
    text = read_attribute(path)
    try:
        return int(text, 0)
    except ValueError:
        raise BoardError(f"{path} must hold a number, not {text!r:.40}") from None


def write_attribute(path: Path, value: str) -> None:
    """Give the attribute a value, in one call as the kernel takes it; BoardError if it refuses."""
    try:
        file = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        raise BoardError(f"the kernel does not have {path}") from None
    try:
        os.write(file, f"{value}\n".encode())
    except OSError as error:
        raise BoardError(
            f"the kernel refuses {value!r:.60} for {path}: {error.strerror}"
        ) from error
    finally:
        os.close(file)


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Whether `ready` came true within so many seconds; it is asked at once, then again and
    again.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)
    return True
