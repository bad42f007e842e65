# SPDX-License-Identifier: Apache-2.0
"""The FPGA manager and the overlays of a fake board. A bitstream is a file with the name of a
configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hw_tests.fake_board.wire import Wire

__all__ = ["FakeFpga", "bitstream_of", "overlay_of", "write_files"]

_BITSTREAM = b"fake bitstream of "


def bitstream_of(config: str) -> bytes:
    """The bytes of a bitstream for the fake's FPGA manager."""
    return _BITSTREAM + config.encode()


def overlay_of(bitstream: str) -> bytes:
    """The bytes of an overlay that names a bitstream, as `firmware-name` does."""
    return b"\xd0\x0d\xfe\xed fake overlay\0firmware-name\0" + bitstream.encode() + b"\0"


def write_files(folder: Path, texts: dict[str, str]) -> None:
    """Attributes that are only read, by their path below a folder."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", "utf-8")


class FakeFpga:
    """Below `root`: /sys/class/fpga_manager/fpga0 and, with `configfs`, the folder of overlays.

    program: told the configuration of a bitstream. show: whether the UIO device is there.
    """

    def __init__(
        self,
        root: Path,
        program: Callable[[str], None],
        show: Callable[[bool], None],
        *,
        configfs: bool,
    ) -> None:
        self._root, self._program, self._show = root, program, show
        self._manager = root / "sys/class/fpga_manager/fpga0"
        self._overlays = root / "sys/kernel/config/device-tree/overlays"
        self._applied: set[str] = set()
        self._waiting: dict[Path, bytes] = {}
        self.firmware = Wire(self._manager / "firmware", lines=True)
        write_files(self._manager, {"name": "Xilinx ZynqMP FPGA Manager", "flags": "0"})
        self._state("unknown")
        if configfs:
            self._overlays.mkdir(parents=True)

    def start_with(self, config: str) -> None:
        """As after a boot that has loaded it."""
        self._program(config)
        self._state("operating")
        self._show(True)

    def written(self) -> None:
        """The name of a bitstream was written."""
        self._load(self.firmware.take().decode().strip())

    def look(self) -> None:
        """What configfs does by itself: an overlay is applied when its path is written, and removed
        with its folder. There a folder with attributes can be removed; here they go first.
        """
        if not self._overlays.is_dir():
            return
        present = {path.name for path in self._overlays.iterdir()}
        for name in self._applied - present:
            self._applied.discard(name)
            self._show(False)
        for name in present:
            path = self._overlays / name / "path"
            text = path.read_text("utf-8").strip() if path.is_file() else ""
            if text:  # in a folder that may have been removed and made again
                if name in self._applied:
                    self._show(False)
                path.unlink()
                self._applied.add(name)
                self._apply(self._overlays / name / "status", self._root / "lib/firmware" / text)
        for fifo, answer in list(self._waiting.items()):
            with suppress(OSError):  # nobody reads it yet
                end = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                fifo.unlink()
                os.write(end, answer)
                os.close(end)
                del self._waiting[fifo]

    def close(self) -> None:
        """The files that are open are gone."""
        self.firmware.close()

    def _state(self, state: str) -> bool:
        write_files(self._manager, {"state": state})
        return state == "operating"

    def _load(self, name: str) -> bool:
        path = self._root / "lib/firmware" / name
        if not path.is_file():
            return self._state("firmware request error")
        data = path.read_bytes()
        if not data.startswith(_BITSTREAM):
            return self._state("write error")
        self._program(data.removeprefix(_BITSTREAM).decode())
        return self._state("operating")

    def _apply(self, status: Path, overlay: Path) -> None:
        found = re.search(rb"[\w.-]+\.bit\.bin", overlay.read_bytes())
        good = found is not None and self._load(found[0].decode())
        if good:
            self._show(True)
        os.mkfifo(status)
        self._waiting[status] = b"applied\n" if good else b"unapplied\n"
