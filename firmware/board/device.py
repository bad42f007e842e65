# SPDX-License-Identifier: Apache-2.0
"""A board's device of the driver, and `open_board`, which finds it."""

from __future__ import annotations

import atexit
import time
from contextlib import ExitStack
from pathlib import Path

from firmware.board.bus_error import BusErrorLine
from firmware.board.dma_buffer import DmaBuffer
from firmware.board.ending import ending_by_exception
from firmware.board.errors import BoardError, InterruptLost
from firmware.board.kernel_files import wait_until
from firmware.board.register_port import RegisterPort
from firmware.board.uio import Uio
from firmware.device import STUCK, Device, DeviceTimeout
from firmware.registers import ContractMismatch, Registers
from firmware.session import Session
from meadow.model.image import Image
from meadow.spec.linux import BUFFER_NAME, UIO_NAME
from meadow.spec.registers import MAGIC, VERSION, Control, Status

__all__ = ["BoardDevice", "open_board"]

_MAGIC, _VERSION, _CONTROL, _STATUS = 0x000, 0x004, 0x100, 0x104
_IDLE_S = 2.0
_LOOK_S = 1.0
_GRACE_S = 0.1


class BoardDevice(Device):
    """The MEADOW that the kernel shows below `root`.

    Parameters
    ----------
    image : checked against the device before anything is written, None for whatever is there.
    sequences : of the session to come, for which the buffer must have room.
    root : folder that holds `dev`, `proc` and `sys`.
    name, buffer : of the UIO device and of the u-dma-buf device.

    Members
    -------
    uio, buffer : what the kernel gives.

    In this order: UIO device found and locked, contract hash of its node, identity and contract
    hash of the device, buffer found and large enough; only then is a device stopped that an earlier
    client left running. BoardError, BoardBusy and ContractMismatch say which of it is not so.

    Closing stops the device: a program under way is abandoned and its bursts are finished, then
    memory and lock are given back; DeviceTimeout, after that, if it does not become idle. It
    happens too when the process ends by an exception, Ctrl-C, SIGTERM or SIGHUP; a process that is
    killed leaves it to the next one.
    """

    def __init__(
        self, image: Image | None, sequences: int, root: Path, name: str, buffer: str
    ) -> None:
        self._access = "an access"
        with ExitStack() as undo:
            self.uio = Uio(name, root)
            undo.callback(self.uio.close)
            undo.enter_context(BusErrorLine(self._refused))
            self._port = RegisterPort(self.uio.file, self.uio.size_bytes)
            undo.callback(self._port.close)
            self._check_identity(image)
            self.buffer = DmaBuffer(buffer, root)
            undo.callback(self.buffer.close)
            self._check_room(image, sequences)
            undo.enter_context(ending_by_exception())
            undo.callback(self._stop)
            if self._read(_STATUS) & Status.BUSY:
                self._stop()
            # What a client that was killed has left in the cache must not be written over what the
            # device will write.
            self.buffer.sync_for_device(0, self.buffer.size_bytes)
            self._undo = undo.pop_all()
        self.memory_base = self.buffer.address
        self.memory = self.buffer.memory
        atexit.register(self.close)
        self._is_open = True

    def sync_for_device(self, first: int, size: int) -> None:
        """See Device."""
        self.check_open()
        self.buffer.sync_for_device(first, size)

    def sync_for_cpu(self, first: int, size: int) -> None:
        """See Device."""
        self.check_open()
        self.buffer.sync_for_cpu(first, size)

    def _read(self, offset: int) -> int:
        self._access = f"reading register {offset:#x}"
        return self._port.read(offset)

    def _write(self, offset: int, value: int) -> None:
        self._access = f"writing {value:#x} to register {offset:#x}"
        self._port.write(offset, value)

    def _wait(self, timeout_s: float | None) -> None:
        """InterruptLost if the program has ended and no interrupt comes; status is looked at once a
        second.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.uio.enable_interrupt()
        while True:
            left = _LOOK_S if deadline is None else max(0.0, deadline - time.monotonic())
            if self.uio.wait_interrupt(min(left, _LOOK_S)):
                if self._interrupt():
                    return
                self.uio.enable_interrupt()  # that one was an earlier program's
            elif self._interrupt():
                if self.uio.wait_interrupt(_GRACE_S):
                    return
                raise InterruptLost(
                    f"the program has ended, but {self.uio.path} had no interrupt: check that "
                    "`irq` is wired to the input that the device tree names, as a level "
                    "(/proc/interrupts counts them)"
                )
            elif deadline is not None and time.monotonic() >= deadline:
                raise DeviceTimeout(f"no interrupt within {timeout_s} s, and the device is busy")

    def _interrupt(self) -> bool:
        return bool(self._read(_STATUS) & Status.INTERRUPT)

    def _close(self) -> None:
        atexit.unregister(self.close)
        del self._memory
        self._undo.close()

    def _stop(self) -> None:
        """Idle, and no interrupt."""
        self._write(_CONTROL, Control.RESET | Control.ACKNOWLEDGE)
        if not wait_until(lambda: not self._read(_STATUS) & Status.BUSY, _IDLE_S):
            stuck = self._read(_STATUS) & Status.STUCK
            why = STUCK if stuck else "it still finishes bursts or does not react"
            raise DeviceTimeout(f"busy {_IDLE_S} s after a soft reset: {why}")

    def _check_identity(self, image: Image | None) -> None:
        # Before any register is read: under another bitstream there may be nothing that answers.
        told = self.uio.contract
        if image is not None and told and told != image.manifest.contract_hash:
            raise ContractMismatch(
                f"the overlay behind {self.uio.path} is of a bitstream with contract {told}, the "
                f"image needs {image.manifest.contract_hash}: load the bitstream that the image "
                "was compiled for"
            )
        magic, version = self._read(_MAGIC), self._read(_VERSION)
        if magic != MAGIC:
            raise ContractMismatch(
                f"no MEADOW device behind {self.uio.path} ({self.uio.address:#x}): magic is "
                f"0x{magic:08X}, not 0x{MAGIC:08X}: another bitstream is loaded"
            )
        if version != VERSION:
            raise ContractMismatch(
                f"the device has register map version {version}, this driver knows {VERSION}"
            )
        if image is None:
            return
        self._is_open = True  # for these reads
        try:
            Registers(self, image.manifest.config).check_identity()
        finally:
            self._is_open = False

    def _check_room(self, image: Image | None, sequences: int) -> None:
        needed = 0 if image is None else Session.window_bytes(image, sequences)
        if self.buffer.size_bytes < needed:
            raise BoardError(
                f"{self.buffer.path} must have {needed} bytes for this image and {sequences} "
                f"sequences, not {self.buffer.size_bytes}: enlarge `size` of its node in the "
                "device tree, and the memory of the kernel that it is taken from (cma=)"
            )

    def _refused(self) -> str:
        return (
            f"the bus refused {self._access} of {self.uio.path}: check that the bitstream of its "
            "overlay is loaded, and clock and reset of the device"
        )


def open_board(
    image: Image | None = None,
    *,
    sequences: int = 1,
    root: Path = Path("/"),
    name: str = UIO_NAME,
    buffer: str = BUFFER_NAME,
) -> BoardDevice:
    """The device of this board, for nobody else until it is closed; see BoardDevice.

    ::

        image = read_image("model.meadow")
        with open_board(image) as device:
            tokens = list(Session(device, image).generate(prompt, 32))
    """
    return BoardDevice(image, sequences, root, name, buffer)
