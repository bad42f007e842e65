# SPDX-License-Identifier: Apache-2.0
"""A file of the kernel that does something when it is written: one end of a pseudo-terminal.

A regular file cannot tell that it was written, and a pipe has one direction. A terminal in between
has two, it can be waited for, opened by path, and locked, as a device can.
"""

from __future__ import annotations

import os
import termios
import tty
from pathlib import Path

__all__ = ["Wire"]


class Wire:
    """`path` for the client, `master` for the board.

    lines: the client reads line by line, as of an attribute; else bytes, as of a device.
    """

    def __init__(self, path: Path, *, lines: bool) -> None:
        self.path = path
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        if lines:
            mode = termios.tcgetattr(self._slave)
            mode[3] |= termios.ICANON
            termios.tcsetattr(self._slave, termios.TCSANOW, mode)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.ttyname(self._slave))

    def take(self) -> bytes:
        """What the client has written."""
        return os.read(self.master, 4096)

    def give(self, data: bytes) -> None:
        """Bytes for the client to read."""
        os.write(self.master, data)

    def forget(self) -> None:
        """Drop what an earlier client has not read."""
        termios.tcflush(self._slave, termios.TCIFLUSH)

    def close(self) -> None:
        """The file is gone."""
        self.path.unlink()
        os.close(self.master)
        os.close(self._slave)
