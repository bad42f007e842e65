# SPDX-License-Identifier: Apache-2.0
"""The 32-bit loads and stores: the only part of the driver that a test without a board replaces."""

from __future__ import annotations

import mmap

__all__ = ["RegisterPort"]


class RegisterPort:
    """The registers behind an open UIO device, mapped; each call is one aligned access of 32 bits.

    file : descriptor of the device. size_bytes : of its first map.

    An item of a memoryview of format "I" is moved by one load or one store. A slice is not: it is
    copied in whatever pieces the C library likes, and AXI4-Lite has 32 bits. Neither is
    `ctypes.c_uint32.value = x`: it loads the register before it stores, for the sake of bit fields.
    """

    def __init__(self, file: int, size_bytes: int) -> None:
        self._map = mmap.mmap(file, size_bytes)
        self._words = memoryview(self._map).cast("I")

    def read(self, offset: int) -> int:
        """Load the register at a byte offset, a multiple of 4."""
        return self._words[offset >> 2]

    def write(self, offset: int, value: int) -> None:
        """Store to it."""
        self._words[offset >> 2] = value

    def close(self) -> None:
        """Unmap."""
        self._words.release()
        self._map.close()
