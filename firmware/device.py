# SPDX-License-Identifier: Apache-2.0
"""What the driver needs of a device: 32-bit registers, a DMA window, and a way to wait for the
interrupt.

Backends: a board, the co-simulation (`cosim.device`) and the golden machine
    (`firmware.golden_device`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import index
from typing import Self, TypeGuard

import numpy as np

from meadow.spec.registers import LAST_OFFSET, ErrorCode

__all__ = [
    "ERROR_MEANINGS",
    "STUCK",
    "Device",
    "DeviceClosed",
    "DeviceError",
    "DeviceTimeout",
    "RegisterArgumentError",
    "RegisterError",
    "is_integer",
    "register_offset",
    "register_value",
]

ERROR_MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.ILLEGAL_COMMAND: (
        "the command has an opcode that the device does not know, or that needs a part that it "
        "does not have, or a field out of its range: compile the image again for this device"
    ),
    ErrorCode.WINDOW: (
        "the command reaches beyond the DMA window, nothing was accessed there: check "
        "window_beats, kv_base and position"
    ),
    ErrorCode.READ_RESPONSE: (
        "the memory refused a read: check that all of the DMA window is mapped memory"
    ),
    ErrorCode.WRITE_RESPONSE: (
        "the memory refused a write: check that all of the DMA window is mapped, writable memory"
    ),
    ErrorCode.STREAM: (
        "a weight stream is damaged, or has a codec that the device does not have: copy the image "
        "into the DMA window again, or compile it again for this device"
    ),
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
    "the memory does not answer a burst that it has accepted, and the device stays busy until it "
    "does: check clock and "
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


class RegisterArgumentError(RegisterError, ValueError):
    """An offset or a value that no register can have; nothing reached the device. `offset` is what
    was given.
    """


class DeviceClosed(ValueError):
    """Something was asked of a device, or of what it had handed out, after `close`; like ValueError
    of a closed file.
    """


class DeviceError(RuntimeError):
    """A program ended with an error; the message says what to do about it.

    code : ErrorCode, the first error. command : index in its program of the command that caused it.
        address : byte
    address of the access, port : its AXI port, 0 where the error has none. label : what the image
    calls the command, "" if it does not say. stuck : the memory owes an answer, see STUCK.
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


def register_offset(offset: object) -> int:
    """`offset` as an int; RegisterArgumentError unless it is an integer, NumPy's too, in 0..0xFFC
    and a multiple of 4.
    """
    if is_integer(offset) and 0 <= index(offset) <= LAST_OFFSET and index(offset) % 4 == 0:
        return index(offset)
    shown = hex(index(offset)) if is_integer(offset) else repr(offset)
    raise RegisterArgumentError(
        f"there is no register at offset {shown:.40}: offsets are the multiples of 4 in "
        f"0..{LAST_OFFSET:#x}",
        offset=index(offset) if is_integer(offset) else -1,
    )


def register_value(value: object, *, offset: int, bits: int = 32) -> int:
    """`value` for the register at `offset` as an int; RegisterArgumentError unless it is an integer
    of `bits` bits.
    """
    if is_integer(value) and 0 <= index(value) < 1 << bits:
        return index(value)
    what = "a register" if bits == 32 else f"a register of {bits} bits"
    raise RegisterArgumentError(
        f"{what} holds 0..2**{bits} - 1, not {value!r:.40}, at offset {offset:#x}", offset=offset
    )


def is_integer(value: object) -> TypeGuard[int]:
    """Whether `value` is a whole number by its type; a bool is none, as it is mostly a slip."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


class Device(ABC):
    """A context manager; closed on exit.

    Members
    -------
    memory : uint8 1-D, the DMA window, in which a cache may stand between host and device: what the
        host has written is followed by `sync_for_device`, and what the device has written is read
        after `sync_for_cpu`. After `close` the device does not
        touch it any more, and whether a view of it can still be read depends on the device (of the
        simulated and the golden one it can).
    memory_base : byte address of the window on the device's bus, 4 KiB aligned.
    closed : whether it was closed, or never opened.

    Raises DeviceClosed for everything but `close`, `closed` and plain facts when it is closed.

    A device of one's own has the methods `_read`, `_write`, `_wait`, `_interrupt` and `_close`,
    which are only called while it is open and with arguments that were checked, and ends its
    constructor with `self._is_open = True`.
    """

    memory_base: int
    _memory: np.ndarray
    _is_open = False

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its constructor did not succeed."""
        return not self._is_open

    def check_open(self) -> None:
        """Raise DeviceClosed if the device is closed."""
        if self.closed:
            raise DeviceClosed("the device is closed")

    @property
    def memory(self) -> np.ndarray:
        """See the class."""
        self.check_open()
        return self._memory

    @memory.setter
    def memory(self, memory: np.ndarray) -> None:
        self._memory = memory

    def read(self, offset: int) -> int:
        """Unsigned value of the register at a byte offset; RegisterError if there is none."""
        self.check_open()
        return self._read(register_offset(offset))

    def write(self, offset: int, value: int) -> None:
        """Write 32 bits to the register at a byte offset; RegisterError if there is none or the
        device refuses.
        """
        self.check_open()
        place = register_offset(offset)
        self._write(place, register_value(value, offset=place))

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the interrupt is raised: done or error, and ready for the next doorbell
        unless stuck.

        DeviceTimeout after `timeout_s` seconds.
        """
        self.check_open()
        self._wait(timeout_s)

    def sync_for_device(self, first: int, size: int) -> None:
        """The device sees from here on what the host has written to so many bytes of `memory`.

        Nothing has to be done where host and device share one memory without a cache between them.
        """
        self.check_open()

    def sync_for_cpu(self, first: int, size: int) -> None:
        """The host sees from here on what the device has written to so many bytes of `memory`."""
        self.check_open()

    @property
    def interrupt(self) -> bool:
        """Whether the interrupt is raised now."""
        self.check_open()
        return self._interrupt()

    def close(self) -> None:
        """Release the device; nothing happens if it is closed already."""
        if not self.closed:
            self._is_open = False
            self._close()

    @abstractmethod
    def _read(self, offset: int) -> int: ...

    @abstractmethod
    def _write(self, offset: int, value: int) -> None: ...

    @abstractmethod
    def _wait(self, timeout_s: float | None) -> None: ...

    @abstractmethod
    def _interrupt(self) -> bool: ...

    @abstractmethod
    def _close(self) -> None: ...

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
