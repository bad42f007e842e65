# SPDX-License-Identifier: Apache-2.0
"""A bitstream with its device-tree overlay into the programmable logic, by whatever the board's
Linux has for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from firmware.board.dfx_manager import DfxManager
from firmware.board.errors import BoardBusy, BoardError
from firmware.board.kernel_files import read_attribute, wait_until, write_attribute
from firmware.board.uio import Uio
from meadow.spec.linux import UIO_NAME

__all__ = ["load_package", "program_bitstream"]

_LOAD_S = 10.0
_HEADER_OF_BIT = bytes.fromhex("00090ff00ff00ff00ff0000001")
"""How a .bit begins, which the FPGA manager does not take."""


def load_package(
    folder: Path, *, root: Path = Path("/"), log: Callable[[str], None] = lambda line: None
) -> None:
    """Load the bitstream (`*.bit.bin`) and the overlay (`*.dtbo`) of a folder, and wait for its UIO
    device.

    What another package has loaded before is unloaded, and named to `log`. The overlay names the
    bitstream, so the kernel loads both together: through configfs where the kernel has that, else
    through dfx-mgr. BoardError if neither is there, or if the kernel refuses; BoardBusy, and
    nothing is changed, if a client has the device that is there.
    """
    bitstream, overlay = (_only(folder, ending) for ending in (".bit.bin", ".dtbo"))
    with bitstream.open("rb") as file:
        if file.read(len(_HEADER_OF_BIT)) == _HEADER_OF_BIT:
            raise BoardError(f"{bitstream} is a .bit with its header: convert it with bootgen")
    firmware = root / "lib" / "firmware"
    overlays = root / "sys" / "kernel" / "config" / "device-tree" / "overlays"
    _check_free(root)
    manager = DfxManager.found(root)
    if manager is not None:
        for name in manager.unload_all():
            log(f"unloaded {name}, which dfx-mgr had loaded")
    if overlays.is_dir():
        for path in (bitstream, overlay):
            shutil.copyfile(path, firmware / path.name)
        place = overlays / folder.name
        if place.is_dir():
            place.rmdir()
            log(f"removed the overlay {folder.name} that was there")
        _apply(place, overlay.name)
        log(f"loaded {folder.name} by an overlay in {overlays}")
    elif manager is not None:
        target = firmware / "xilinx" / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            shutil.copyfile(path, target / path.name)
        manager.load(folder.name)
        log(f"loaded {folder.name} by dfx-mgr")
    else:
        raise BoardError(
            f"no way to load an overlay: the kernel has no {overlays} (CONFIG_OF_CONFIGFS of the "
            "vendor's kernel), and there is no dfx-mgr-client"
        )
    _check_state(root)
    uio = root / "sys" / "class" / "uio"

    def appeared() -> bool:
        names = [read_attribute(path / "name") for path in uio.glob("uio*")]
        return UIO_NAME in names

    if not wait_until(appeared, _LOAD_S):
        raise BoardError(
            f"the overlay is loaded, but no UIO device is called {UIO_NAME}: let uio_pdrv_genirq "
            "take its node (uio_pdrv_genirq.of_id=generic-uio)"
        )


def _check_free(root: Path) -> None:
    """BoardBusy if somebody uses the device that is there."""
    try:
        uio = Uio(UIO_NAME, root)
    except BoardBusy:
        raise
    except BoardError:
        return
    uio.close()


def program_bitstream(bitstream: Path, *, root: Path = Path("/")) -> None:
    """Give a bitstream alone to the FPGA manager; the device tree stays what it is. BoardError if
    it refuses.
    """
    manager = root / "sys" / "class" / "fpga_manager" / "fpga0"
    _check_free(root)
    shutil.copyfile(bitstream, root / "lib" / "firmware" / bitstream.name)
    write_attribute(manager / "flags", "0")  # a whole bitstream
    write_attribute(manager / "firmware", bitstream.name)
    _check_state(root)


def _only(folder: Path, ending: str) -> Path:
    found = sorted(path for path in folder.glob(f"*{ending}"))
    if len(found) != 1:
        raise BoardError(f"{folder} must hold one file *{ending}, not {len(found)}")
    return found[0]


def _apply(place: Path, overlay: str) -> None:
    place.mkdir()
    status = place / "status"
    (place / "path").write_text(overlay, "utf-8")
    if not wait_until(status.exists, _LOAD_S) or read_attribute(status) != "applied":
        place.rmdir()
        raise BoardError(f"the kernel did not apply the overlay {overlay}: dmesg says why")


def _check_state(root: Path) -> None:
    state = root / "sys" / "class" / "fpga_manager" / "fpga0" / "state"

    def over() -> bool:
        text = read_attribute(state)
        return text == "operating" or text.endswith("error")

    if not wait_until(over, _LOAD_S) or read_attribute(state) != "operating":
        raise BoardError(
            f"the FPGA manager did not load the bitstream: {state} says {read_attribute(state)}"
        )
