# SPDX-License-Identifier: Apache-2.0
"""Bitstream and overlay reach the logic by what the board's Linux has for it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from firmware.board.device import open_board
from firmware.board.dfx_manager import DfxManager
from firmware.board.errors import BoardBusy, BoardError
from firmware.board.load import load_package, program_bitstream
from firmware.session import Session
from hw_tests.fake_board.fpga import bitstream_of, overlay_of
from hw_tests.firmware.board.conftest import PROMPT, TOKENS, MakeBoard, StartClient
from meadow.model.image import Image

OLD_LIST = """\
          Accelerator    Accel_type              Base    Base_type  #slots(PL+AIE)  Active_slot
     k26-starter-kits      XRT_FLAT  k26-starter-kits     XRT_FLAT           (0+0)           0,
          kv260-other      XRT_FLAT       kv260-other     XRT_FLAT           (0+0)           -1
"""
NEW_LIST = """\

boot.pdi PL UUID: N/A

ID accelType   Base        slotLoc Accelerator
-- ----------- ----------- ------- -----------
 1 XRT_FLAT    k26-start... 0      k26-starter-kits
 2 XRT_FLAT    kv260-o...  -1      kv260-other
"""
LISTS = {"old": OLD_LIST, "new": NEW_LIST}
CLIENT = """\
#!/bin/sh
root={root}
echo "$@" >> $root/asked
case $1 in
-h) echo "{usage}";;
-listPackage) cat $root/list;;
-load|-loadByName)
    if [ ! -d $root/lib/firmware/xilinx/$2 ]; then
        echo "Load Error: No package found for $2"; exit 1
    fi
    mkdir -p $root/sys/class/uio/uio0; echo meadow > $root/sys/class/uio/uio0/name
    echo operating > $root/sys/class/fpga_manager/fpga0/state
    echo "$2: Loaded with slot_handle 0";;
-remove|-unloadByName) echo "unload $2 returns: 0 (Ok)";;
esac
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder as the build of a board leaves it."""
    folder = tmp_path / "meadow-tiny"
    folder.mkdir()
    (folder / "meadow.bit.bin").write_bytes(bitstream_of("tiny"))
    (folder / "meadow.dtbo").write_bytes(overlay_of("meadow.bit.bin"))
    (folder / "shell.json").write_text('{"shell_type": "XRT_FLAT"}', "utf-8")
    return folder


def install_dfx_manager(root: Path, version: str) -> None:
    path = root / "usr/bin/dfx-mgr-client"
    usage = "-loadByName <name>" if version == "new" else "-load <accel>"
    path.write_text(CLIENT.format(root=root, usage=usage), "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (root / "list").write_text(LISTS[version], "utf-8")


def test_a_board_that_has_just_started_is_loaded_and_generates(
    make_board: MakeBoard, image: Image, package: Path, expected: list[int]
) -> None:
    board, lines = make_board(config=None), []
    with pytest.raises(BoardError, match="no UIO device is called meadow, there is none: load the"):
        open_board(image, root=board.root)
    for _ in range(2):
        load_package(package, root=board.root, log=lines.append)
        with open_board(image, root=board.root) as device:
            assert list(Session(device, image).generate(PROMPT, TOKENS)) == expected
    place = board.root / "sys/kernel/config/device-tree/overlays"
    loaded = f"loaded meadow-tiny by an overlay in {place}"
    assert lines == [loaded, "removed the overlay meadow-tiny that was there", loaded]


def test_a_device_that_somebody_uses_stays_loaded(
    make_board: MakeBoard, image: Image, package: Path, expected: list[int]
) -> None:
    board = make_board()
    with open_board(image, root=board.root) as device:
        with pytest.raises(BoardBusy, match="another process .* uses .*/dev/uio0"):
            load_package(package, root=board.root)
        assert list(Session(device, image).generate(PROMPT, TOKENS)) == expected


def test_the_command_loads_a_package_first(
    make_board: MakeBoard, package: Path, expected: list[int], start: StartClient
) -> None:
    board = make_board(config=None)
    output, errors = start(board, "--load", str(package)).communicate(timeout=60)
    assert [int(line) for line in output.splitlines()] == expected
    assert errors.startswith("meadow: loaded meadow-tiny by an overlay") and errors.count("\n") == 1


@pytest.mark.parametrize("version", LISTS)
def test_what_dfx_manager_has_loaded_is_unloaded_and_named(
    make_board: MakeBoard, package: Path, version: str
) -> None:
    board, lines = make_board(config=None), []
    install_dfx_manager(board.root, version)
    load_package(package, root=board.root, log=lines.append)
    assert lines[0] == "unloaded k26-starter-kits, which dfx-mgr had loaded" and len(lines) == 2
    asked = (board.root / "asked").read_text("utf-8").splitlines()
    unload = "-unloadByName k26-starter-kits" if version == "new" else "-remove 0"
    assert asked == ["-h", "-listPackage", unload]


@pytest.mark.parametrize("version", LISTS)
def test_without_configfs_dfx_manager_loads(
    make_board: MakeBoard, package: Path, version: str
) -> None:
    board, lines = make_board(config=None, configfs=False), []
    install_dfx_manager(board.root, version)
    load_package(package, root=board.root, log=lines.append)
    assert lines[-1] == "loaded meadow-tiny by dfx-mgr"
    there = board.root / "lib/firmware/xilinx/meadow-tiny"
    assert {path.name for path in there.iterdir()} == {path.name for path in package.iterdir()}
    manager = DfxManager.found(board.root)
    assert manager is not None
    with pytest.raises(
        BoardError, match="dfx-mgr did not load other: Load Error: No package found"
    ):
        manager.load("other")


def test_without_either_the_message_says_what_is_missing(
    make_board: MakeBoard, package: Path
) -> None:
    board = make_board(config=None, configfs=False)
    with pytest.raises(
        BoardError, match=r"no way to load an overlay: .*CONFIG_OF_CONFIGFS .* dfx-"
    ):
        load_package(package, root=board.root)


def test_an_overlay_that_the_kernel_refuses_is_told(make_board: MakeBoard, package: Path) -> None:
    board = make_board(config=None)
    (package / "meadow.bit.bin").write_bytes(b"scrambled")
    with pytest.raises(BoardError, match="did not apply the overlay meadow.dtbo: dmesg says why"):
        load_package(package, root=board.root)
    assert list((board.root / "sys/kernel/config/device-tree/overlays").iterdir()) == []
    (package / "meadow.bit.bin").write_bytes(bitstream_of("tiny"))
    load_package(package, root=board.root)


def test_a_package_must_hold_one_of_each(make_board: MakeBoard, package: Path) -> None:
    board = make_board(config=None)
    (package / "other.dtbo").touch()
    with pytest.raises(BoardError, match=r"meadow-tiny must hold one file \*.dtbo, not 2"):
        load_package(package, root=board.root)
    (package / "meadow.bit.bin").write_bytes(bytes.fromhex("00090ff00ff00ff00ff000000161"))
    (package / "other.dtbo").unlink()
    with pytest.raises(BoardError, match="meadow.bit.bin is a .bit with its header: convert it"):
        load_package(package, root=board.root)


def test_a_bitstream_alone_goes_to_the_manager(make_board: MakeBoard, package: Path) -> None:
    board = make_board(config=None)
    program_bitstream(package / "meadow.bit.bin", root=board.root)
    assert board.logic.device.read(0) == 0x4D454144
    (package / "meadow.bit.bin").write_bytes(b"scrambled")
    board = make_board(config=None, name="second")
    with pytest.raises(BoardError, match="did not load the bitstream: .*/state says write error"):
        program_bitstream(package / "meadow.bit.bin", root=board.root)
