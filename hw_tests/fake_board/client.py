# SPDX-License-Identifier: Apache-2.0
"""A client of a fake board: `client.py MODULE ARGUMENTS` runs a module of the driver as it is, but
for the class that does the loads and stores.

It imports the standard library and the driver alone, so that it runs by its path wherever the
driver is installed. The variable MEADOW_FAKE_BOARD names the socket of the board.
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import struct
import sys

__all__ = ["ACCESS", "ANSWER", "BusFault", "FakePort"]

ACCESS = struct.Struct("<?II")
"""Whether it is a store, offset, value."""
ANSWER = struct.Struct("<IB")
"""Value, response of AXI."""


class BusFault(BaseException):
    """The bus answered SLVERR or DECERR: on a board nothing of the client would run any more."""


class FakePort:
    """In place of RegisterPort: asks the board for every load and store."""

    refused = staticmethod(lambda text: (_ for _ in ()).throw(BusFault(text)))

    def __init__(self, file: int, size_bytes: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.environ["MEADOW_FAKE_BOARD"])

    def read(self, offset: int) -> int:
        return self._access(False, offset, 0)

    def write(self, offset: int, value: int) -> None:
        self._access(True, offset, value)

    def _access(self, store: bool, offset: int, value: int) -> int:
        self._socket.sendall(ACCESS.pack(store, offset, value))
        answer = self._socket.recv(ANSWER.size, socket.MSG_WAITALL)
        value, response = ANSWER.unpack(answer)
        if response:
            self.refused(f"{'store' if store else 'load'} at {offset:#x} was answered {response}")
        return value

    def close(self) -> None:
        self._socket.close()


def _killed(text: str) -> None:
    """As the kernel does it."""
    os.kill(os.getpid(), signal.SIGBUS)


def main() -> None:
    """Run the module of the first argument with the others."""
    del sys.path[0]  # the folder of this file
    import firmware.board.device

    FakePort.refused = staticmethod(_killed)
    firmware.board.device.RegisterPort = FakePort  # pyright: ignore[reportAttributeAccessIssue]
    module, sys.argv = sys.argv[1], sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
