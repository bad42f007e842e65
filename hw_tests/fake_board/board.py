# SPDX-License-Identifier: Apache-2.0
"""A board below a temporary root: the files of the kernel that the driver uses, and behind them a
simulated device.

The memory file is what the processor sees through its cache; the device has another memory, and
only `sync_for_device` and `sync_for_cpu` copy between the two, so that a driver that forgets one
sees or leaves stale bytes.

It is here and not in `cosim`, as nobody but tests uses it, and it shows the driver's side of a
board, not the chip's.
"""

from __future__ import annotations

import mmap
import os
import select
import shutil
import socket
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np

from cosim.device import CosimDevice
from cosim.library import Simulation
from hw_tests.fake_board.client import ACCESS, ANSWER
from hw_tests.fake_board.fpga import FakeFpga, write_files
from hw_tests.fake_board.logic import Logic, MakeLogic, simulated_logic
from hw_tests.fake_board.wire import Wire
from meadow.spec.config import named_config
from meadow.spec.linux import BUFFER_NAME, HASH_PROPERTY, UIO_NAME

__all__ = ["BASE", "FakeBoard"]

BASE = 0x6000_0000
REGISTERS = 0xA000_0000
_DECERR = 3
_TICK_S = 0.02
_ERROR = b"-22\n"
_UIO = {
    "name": UIO_NAME,
    "version": "devicetree",
    "maps/map0/name": f"{UIO_NAME}@{REGISTERS:x}",
    "maps/map0/addr": f"{REGISTERS:#018x}",
    "maps/map0/size": f"{0x1000:#018x}",
    "maps/map0/offset": "0x0",
}


class FakeBoard:
    """A context; inside of it a thread answers what a client does below `root`.

    Parameters
    ----------
    root : an empty folder.
    buffer_bytes : of the u-dma-buf buffer, a multiple of 4 KiB.
    config : loaded already, with its overlay; None for a board that has just started.
    make : what a configuration becomes.
    coherent : see Logic.
    configfs : whether the kernel takes overlays by configfs.
    contract : hash that the overlay says, "" for one that does not.

    Members
    -------
    environment : variables for a client in a process of its own; `client.py` reads them.
    interrupts, stores : counted. syncs : (attribute, first byte, bytes) of each. started : set when
        a program has been.
    lose_interrupts, frozen (no time passes), refuse (offsets that the bus answers with DECERR),
    planted (offset to what reading it gives) : faults, to be planted at any time.
    """

    def __init__(
        self,
        root: Path,
        *,
        buffer_bytes: int,
        config: str | None = "tiny",
        make: MakeLogic = simulated_logic,
        coherent: bool = False,
        configfs: bool = True,
        contract: str = "",
    ) -> None:
        self.root, self.contract = root, contract
        self.lose_interrupts = self.frozen = False
        self.refuse: set[int] = set()
        self.planted: dict[int, int] = {}
        self.memory_bytes = buffer_bytes
        self.interrupts = self.stores = 0
        self.syncs: list[tuple[str, int, int]] = []
        self.started = threading.Event()
        self._make, self._coherent = make, coherent
        self._logic: Logic | None = None
        self._uio: Wire | None = None
        self._enabled = False
        self._failure: BaseException | None = None
        self._clients: list[socket.socket] = []
        self._buffer(buffer_bytes)
        self._fpga = FakeFpga(root, self._program, self._show_uio, configfs=configfs)
        for folder in ("sys/class/uio", "lib/firmware", "usr/bin"):
            (root / folder).mkdir(parents=True)
        # The path of a socket has 107 bytes at most, which a temporary folder of tests may exceed.
        self._place = Path(tempfile.mkdtemp(prefix="board"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._place / "s"))
        self._listener.listen()
        self.environment = {"MEADOW_FAKE_BOARD": str(self._place / "s")}
        if config is not None:
            self._fpga.start_with(config)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def logic(self) -> Logic:
        """What is programmed."""
        assert self._logic is not None
        return self._logic

    @property
    def simulation(self) -> Simulation:
        """That of simulated logic."""
        device = self.logic.device
        assert isinstance(device, CosimDevice)
        return device.simulation

    def spurious_interrupt(self) -> None:
        """One that nothing has caused."""
        assert self._uio is not None
        self._uio.give(bytes(4))

    def _buffer(self, size: int) -> None:
        device, folder = self.root / "dev" / BUFFER_NAME, self.root / "sys/class/u-dma-buf"
        device.parent.mkdir(parents=True)
        with device.open("w+b") as file:
            file.truncate(size)
            self._cpu = np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
        coherent = str(int(self._coherent))
        values = {"phys_addr": f"{BASE:#018x}", "size": str(size), "dma_coherent": coherent}
        values |= {"sync_mode": "1", "sync_offset": "0x0", "sync_size": str(size)}
        write_files(folder / BUFFER_NAME, values | {"sync_direction": "0", "sync_owner": "0"})
        self._sync = {
            name: Wire(folder / BUFFER_NAME / name, lines=True)
            for name in ("sync_for_device", "sync_for_cpu")
        }

    def _program(self, config: str) -> None:
        if self._logic is not None:
            self._logic.device.close()
        self._logic = self._make(named_config(config), self._cpu, BASE, self._coherent)
        self._enabled = False

    def _show_uio(self, shown: bool) -> None:
        if self._uio is not None:
            shutil.rmtree(self.root / "sys/class/uio/uio0")
            self._uio.close()
            self._uio = None
        if shown:
            self._uio = Wire(self.root / "dev/uio0", lines=False)
            write_files(self.root / "sys/class/uio/uio0", _UIO)
            if self.contract:
                node = {f"device/of_node/{HASH_PROPERTY}": self.contract + "\0"}
                write_files(self.root / "sys/class/uio/uio0", node)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        os.write(self._stopped, b"x")
        self._thread.join()
        self._show_uio(False)
        self._fpga.close()
        for wire in self._sync.values():
            wire.close()
        for one in (self._listener, *self._clients):
            one.close()
        os.close(self._stop)
        os.close(self._stopped)
        shutil.rmtree(self._place)
        if self._logic is not None:
            self._logic.device.close()
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as failure:
            self._failure = failure
            for client in self._clients:
                client.close()

    def _turn(self) -> bool:
        """One look at everything that a client may have done; False when the board is over."""
        uio = [] if self._uio is None else [self._uio.master]
        attributes = {wire.master: name for name, wire in self._sync.items()}
        places = [self._stop, self._listener, self._fpga.firmware.master, *uio, *attributes]
        moving = self._logic is not None and not self.frozen and self._logic.busy
        ready = select.select([*places, *self._clients], [], [], 0 if moving else _TICK_S)[0]
        # What was written before a register access is done before it.
        for one in sorted(ready, key=lambda one: isinstance(one, socket.socket)):
            if one == self._stop:
                return False
            if one is self._listener:
                self._welcome()
            elif one == self._fpga.firmware.master:
                self._fpga.written()
            elif one in uio:
                self._enabled = int.from_bytes(self._taken_uio()[:4], sys.byteorder) == 1
            elif isinstance(one, int):
                self._synchronise(attributes[one])
            else:
                self._answer(one)
        if moving and not self.frozen:
            self.logic.advance()
        self._raise_interrupt()
        self._fpga.look()
        return True

    def _taken_uio(self) -> bytes:
        assert self._uio is not None
        return self._uio.take()

    def _welcome(self) -> None:
        self._clients.append(self._listener.accept()[0])
        for wire in (self._uio, *self._sync.values()):
            if wire is not None:
                wire.forget()
        self._enabled = False

    def _answer(self, client: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = client.recv(ACCESS.size, socket.MSG_WAITALL)
        if len(data) < ACCESS.size:
            client.close()
            self._clients.remove(client)
            return
        store, offset, value = ACCESS.unpack(data)
        self.stores += store
        answer = (0, _DECERR)
        if offset not in self.refuse and self._logic is not None:
            answer = self._logic.access(store, offset, value)
        if offset in self.planted and not store:
            answer = (self.planted[offset], 0)
        with suppress(OSError):
            client.sendall(ANSWER.pack(*answer))
        if store and self._logic is not None and self._logic.busy:
            self.started.set()

    def _synchronise(self, name: str) -> None:
        for line in self._sync[name].take().decode().split():
            command = int(line, 0)
            first, size = command >> 32, command & 0xFFFFFFF0
            self.syncs.append((name, first, size))
            direction = command >> 2 & 3
            for_device = name == "sync_for_device"
            # Linux cleans for TO_DEVICE, and invalidates for FROM_DEVICE only.
            right = command & 1 and direction == (1 if for_device else 2)
            done = right and self.logic.sync(first, size, for_device=for_device)
            self._sync[name].give(b"0\n" if done else _ERROR)

    def _raise_interrupt(self) -> None:
        if self._uio is None or not self._enabled or not self.logic.interrupt:
            return
        self._enabled = False
        self.interrupts += 1
        if not self.lose_interrupts:
            self._uio.give(self.interrupts.to_bytes(4, sys.byteorder))
