# SPDX-License-Identifier: Apache-2.0
"""What the driver needs of a device: 32-bit registers, a DMA window, and a way to wait for the interrupt.

Backends: a board, the co-simulation (`cosim.device`) and the golden machine (`firmware.golden_device`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import numpy as np

from meadow.spec.registers import ErrorCode

__all__ = ["Device", "DeviceError", "DeviceTimeout", "RegisterError"]


class DeviceTimeout(TimeoutError):
    """The device was still busy when the time was over."""


class RegisterError(OSError):
    """A register access was answered with an error; `offset` is the byte offset."""

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class DeviceError(RuntimeError):
    """A program ended with an error.

    code : ErrorCode, the first error. command : index of the command in its program. address : byte address of
    the faulting access, port : its AXI port. label : what the image calls the command, "" if it does not say.
    """

    def __init__(
        self, *, code: ErrorCode, command: int, address: int, port: int, label: str = ""
    ) -> None:
        self.code = code
        self.command = command
        self.address = address
        self.port = port
        self.label = label
        named = f" ({label})" if label else ""
        super().__init__(
            f"the device reports {code.name} at command {command}{named}, "
            f"address {address:#x}, port {port}"
        )


class Device(ABC):
    """A context manager; closed on exit.

    Members
    -------
    memory : uint8 1-D, the DMA window as the device sees it; views of it stay valid until `close`.
    memory_base : byte address of the window on the device's bus, 4 KiB aligned.
    """

    memory: np.ndarray
    memory_base: int

    @abstractmethod
    def read(self, offset: int) -> int:
        """Unsigned value of the register at a byte offset; RegisterError if there is none."""

    @abstractmethod
    def write(self, offset: int, value: int) -> None:
        """Write 32 bits to the register at a byte offset; RegisterError if the device refuses."""

    @abstractmethod
    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the interrupt is raised (done or error); DeviceTimeout after `timeout_s` seconds."""

    @property
    @abstractmethod
    def interrupt(self) -> bool:
        """Whether the interrupt is raised now."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
