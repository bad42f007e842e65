# SPDX-License-Identifier: Apache-2.0
"""Memory that processor and device share, out of u-dma-buf: mapped with the processor's cache,
whose lines are written out and dropped by hand.

Reserved memory needs nothing of its own: the property `memory-region` of the u-dma-buf node names
it, and it is a buffer like any other.

Source: github.com/ikwzm/udmabuf, Readme.md (`sync_for_cpu`, `sync_for_device`, and "Coherency of
data on DMA buffer and CPU cache") and u-dma-buf.c.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np

from firmware.board.errors import BoardError
from firmware.board.kernel_files import read_attribute, read_number, write_attribute

__all__ = ["LINE_BYTES", "DmaBuffer"]

LINE_BYTES = 64
"""A cache line of the Cortex-A53."""

_PAGE_BYTES = 4096
_MOST_BYTES = 1 << 32
_TO_DEVICE, _FROM_DEVICE = 1, 2


class DmaBuffer:
    """The u-dma-buf device called `name` below `root`.

    Members
    -------
    memory : uint8 1-D, all of it as the processor sees it. path : /dev/name.
    address : of its first byte on the device's bus.
    coherent : hardware keeps caches and memory alike (`dma-coherent` in the device tree, at an HPC
        port): then there is nothing to do by hand.

    BoardError if there is no such buffer, or one that the device could not be given.
    """

    def __init__(self, name: str, root: Path) -> None:
        self._folder = root / "sys" / "class" / "u-dma-buf" / name
        if not self._folder.is_dir():
            seen = sorted(path.name for path in self._folder.parent.glob("*"))
            raise BoardError(
                f"no u-dma-buf buffer is called {name}, there is {', '.join(seen) or 'none'}: load "
                "the module u-dma-buf and the overlay"
            )
        self.address = read_number(self._folder / "phys_addr")
        self.size_bytes = read_number(self._folder / "size")
        self.coherent = read_number(self._folder / "dma_coherent") == 1
        self.path = root / "dev" / name
        if self.address % _PAGE_BYTES:
            raise BoardError(f"{self.path} must begin at a page, not at {self.address:#x}")
        if not 0 < self.size_bytes <= _MOST_BYTES:
            raise BoardError(f"{self.path} must have 1..{_MOST_BYTES} bytes, not {self.size_bytes}")
        self._map = self._mapped()
        self.memory = np.frombuffer(self._map, np.uint8)

    def _mapped(self) -> mmap.mmap:
        try:
            # Without O_SYNC: the mapping uses the cache.
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                return mmap.mmap(file, self.size_bytes)
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise BoardError(f"cannot map {self.path}: {error}") from error

    def sync_for_device(self, first: int, size: int) -> None:
        """Write the lines of so many bytes out to memory."""
        self._sync("sync_for_device", first, size, _TO_DEVICE)

    def sync_for_cpu(self, first: int, size: int) -> None:
        """Drop the lines of so many bytes, which the device may have written, from the cache."""
        self._sync("sync_for_cpu", first, size, _FROM_DEVICE)

    def _sync(self, name: str, first: int, size: int, direction: int) -> None:
        if self.coherent or not size:
            return
        start = first // LINE_BYTES * LINE_BYTES
        end = min(-(-(first + size) // LINE_BYTES) * LINE_BYTES, self.size_bytes)
        # One word says all: offset, size in bits 31..4, direction, and that it is to be done.
        for offset, count in _pieces(start, end):
            command = offset << 32 | count | direction << 2 | 1
            write_attribute(self._folder / name, f"{command:#x}")
            if read_attribute(self._folder / name) != "0":  # u-dma-buf clears what it has done
                raise BoardError(
                    f"{self._folder / name} did not do {count} bytes from {offset:#x} on: is it "
                    "u-dma-buf?"
                )

    def close(self) -> None:
        """Unmap, or leave that to whoever still has a view of the memory."""
        del self.memory
        try:
            self._map.close()
        except BufferError:
            pass


def _pieces(start: int, end: int) -> list[tuple[int, int]]:
    """(offset, bytes) of pieces whose size has 32 bits."""
    most = _MOST_BYTES - LINE_BYTES
    return [(offset, min(most, end - offset)) for offset in range(start, end, most)]
