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

__all__ = ["ERROR_MEANINGS", "STUCK", "Device", "DeviceError", "DeviceTimeout", "RegisterError"]

ERROR_MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.ILLEGAL_COMMAND: (
        "the command has an unknown opcode or a field out of its range: compile the image again for this device"
    ),
    ErrorCode.WINDOW: (
        "the command reaches beyond the DMA window, nothing was accessed there: check window_beats, kv_base and position"
    ),
    ErrorCode.READ_RESPONSE: (
        "the memory refused a read: check that all of the DMA window is mapped memory"
    ),
    ErrorCode.WRITE_RESPONSE: (
        "the memory refused a write: check that all of the DMA window is mapped, writable memory"
    ),
    ErrorCode.STREAM: "a weight stream is damaged: copy the image into the DMA window again",
    ErrorCode.COMMAND_CHECK: "the command is damaged: copy the image into the DMA window again",
    ErrorCode.ACTIVATION: (
        "the command reaches beyond the activation memory: compile the image again for this device"
    ),
    ErrorCode.WATCHDOG: (
        "nothing moved for `watchdog` cycles: check that the memory answers, or raise the register"
    ),
}
"""What each error means, and what to do about it."""

STUCK = (
    "the memory does not answer a burst that it has accepted, and the device stays busy until it does: check clock and "
    "reset of the interconnect; if they are right, reset device and interconnect together"
)
"""What `Status.STUCK` means, and what to do about it."""

_AT_AN_ADDRESS = (ErrorCode.WINDOW, ErrorCode.READ_RESPONSE, ErrorCode.WRITE_RESPONSE)
_AT_A_PORT = (*_AT_AN_ADDRESS, ErrorCode.STREAM)


class DeviceTimeout(TimeoutError):
    """The device was still busy when the time was over."""


class RegisterError(OSError):
    """A register access was answered with an error; `offset` is the byte offset."""

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class DeviceError(RuntimeError):
    """A program ended with an error; the message says what to do about it.

    code : ErrorCode, the first error. command : index in its program of the command that caused it. address : byte
    address of the access, port : its AXI port, 0 where the error has none. label : what the image calls the command, ""
    if it does not say. stuck : the memory owes an answer, see STUCK.
    """

    def __init__(
        self,
        *,
        code: ErrorCode,
        command: int,
        address: int,
        port: int,
        label: str = "",
        stuck: bool = False,
    ) -> None:
        self.code = code
        self.command = command
        self.address = address
        self.port = port
        self.label = label
        self.stuck = stuck
        named = f" ({label})" if label else ""
        place = f", address {address:#x}" if code in _AT_AN_ADDRESS else ""
        place += f", port {port}" if code in _AT_A_PORT else ""
        text = f"the device reports {code.name} at command {command}{named}{place}"
        parts = (text, ERROR_MEANINGS.get(code), STUCK if stuck else None)
        super().__init__("; ".join(part for part in parts if part is not None))


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
        """Return when the interrupt is raised: done or error, and ready for the next doorbell unless stuck.

        DeviceTimeout after `timeout_s` seconds.
        """

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
