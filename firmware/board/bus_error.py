# SPDX-License-Identifier: Apache-2.0
"""One line instead of "Bus error": what is told when the bus refuses a load or a store.

The kernel sends SIGBUS to the process whose load was refused, and repeats the instruction when a
handler returns. So a handler of Python's own, which only notes the signal and returns, would never
get its turn; this one is called by the C library, tells, and ends the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Self

__all__ = ["BusErrorLine"]


class BusErrorLine:
    """A context inside of which SIGBUS writes `message()` as one line to standard error and ends
    the process with exit code 135, which is what a shell gives a process that the signal ended.

    Nothing else of the process runs any more: the kernel unmaps and unlocks, and the next client
    stops the device.
    """

    def __init__(self, message: Callable[[], str]) -> None:
        self._message = message
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._tell)
        self._signal = ctypes.CDLL(None).signal
        self._signal.restype = ctypes.c_void_p
        self._signal.argtypes = [ctypes.c_int, ctypes.c_void_p]

    def __enter__(self) -> Self:
        self._before = self._signal(signal.SIGBUS, ctypes.cast(self._handler, ctypes.c_void_p))
        return self

    def __exit__(self, *exception: object) -> None:
        self._signal(signal.SIGBUS, self._before)

    def _tell(self, number: int) -> None:
        # The process was inside of one load or store, so Python's own state is whole.
        os.write(2, f"meadow: {self._message()}\n".encode())
        os._exit(128 + number)
