# SPDX-License-Identifier: Apache-2.0
"""The UIO device: found by its name, taken by one process at a time, and its interrupt.

Source: Linux, Documentation/driver-api/uio-howto.rst, and drivers/uio/uio_pdrv_genirq.c. A level
interrupt is off from when it comes until 1 is written to the device; reading 4 bytes waits for it.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
from pathlib import Path

from firmware.board.errors import BoardBusy, BoardError
from firmware.board.kernel_files import read_attribute, read_number
from meadow.spec.linux import HASH_PROPERTY, REGISTER_BYTES

__all__ = ["Uio"]

_ENABLE = (1).to_bytes(4, sys.byteorder)


class Uio:
    """The UIO device called `name` below `root`, open and locked until `close`.

    Members
    -------
    file : its descriptor. path : /dev/uioN. size_bytes : of map 0. address : where that is on the
        bus of the processor. contract : hash of the bitstream that the overlay is for, which its
        node says, or "".

    BoardError if there is none or several of the name, or its map is smaller than the register
    space; BoardBusy if another process has it. The lock (flock) is on the device file itself, so
    that the kernel ends it with the process, however that ends.
    """

    def __init__(self, name: str, root: Path) -> None:
        folder = _found(name, root)
        self.path = root / "dev" / folder.name
        self.address = read_number(folder / "maps" / "map0" / "addr")
        told = folder / "device" / "of_node" / HASH_PROPERTY
        self.contract = read_attribute(told).rstrip("\0") if told.exists() else ""
        self.size_bytes = read_number(folder / "maps" / "map0" / "size")
        if self.size_bytes < REGISTER_BYTES:
            raise BoardError(
                f"map 0 of {self.path} must have {REGISTER_BYTES} bytes, not {self.size_bytes}: "
                "correct `reg` in the device tree"
            )
        try:
            self.file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise BoardError(f"cannot open {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _holder(self.file)
            os.close(self.file)
            raise BoardBusy(f"another process{who} uses {self.path}") from None

    def enable_interrupt(self) -> None:
        """Let the interrupt come, at once if it is raised already."""
        os.write(self.file, _ENABLE)

    def wait_interrupt(self, seconds: float) -> bool:
        """Whether it came within so many seconds; then it is off again."""
        if not select.select([self.file], [], [], seconds)[0]:
            return False
        os.read(self.file, 4)
        return True

    def close(self) -> None:
        """Let others have the device."""
        # Not only by closing: a forked child may have the description too.
        fcntl.flock(self.file, fcntl.LOCK_UN)
        os.close(self.file)


def _found(name: str, root: Path) -> Path:
    """The device's folder in sysfs."""
    place = root / "sys" / "class" / "uio"
    names = {path: read_attribute(path / "name") for path in sorted(place.glob("uio*"))}
    found = [path for path, called in names.items() if called == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise BoardError(
            f"{len(found)} UIO devices are called {name}: {', '.join(path.name for path in found)}"
        )
    seen = ", ".join(f"{path.name} ({called})" for path, called in names.items()) or "none"
    raise BoardError(
        f"no UIO device is called {name}, there is {seen}: load the bitstream with its overlay, "
        "and let uio_pdrv_genirq take its node (uio_pdrv_genirq.of_id=generic-uio)"
    )


def _holder(file: int) -> str:
    """Who holds the lock, as " (process 123)", or nothing where /proc does not tell."""
    status = os.fstat(file)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text("utf-8").splitlines()
    except OSError:
        return ""
    fields = (line.split() for line in lines)
    holders = [words[4] for words in fields if len(words) > 5 and words[5] == place]
    return f" (process {holders[0]})" if holders else ""
