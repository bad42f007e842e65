# SPDX-License-Identifier: Apache-2.0
"""The UIO device is found by its name, and only a usable one is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.board.errors import BoardBusy, BoardError
from firmware.board.uio import Uio
from hw_tests.fake_board.board import FakeBoard
from hw_tests.fake_board.fpga import write_files
from hw_tests.firmware.board.conftest import MakeBoard


@pytest.fixture
def board(make_board: MakeBoard) -> FakeBoard:
    return make_board()


def classes(board: FakeBoard) -> Path:
    return board.root / "sys/class/uio"


def test_it_is_found_among_others(board: FakeBoard) -> None:
    for index, name in ((1, "axi-pmon"), (2, "meadow-old")):
        write_files(classes(board) / f"uio{index}", {"name": name})
    uio = Uio("meadow", board.root)
    assert uio.path == board.root / "dev/uio0"
    assert (uio.address, uio.size_bytes) == (0xA000_0000, 4096)
    with pytest.raises(BoardBusy, match="another process .*uses .*/dev/uio0"):
        Uio("meadow", board.root)
    uio.close()
    Uio("meadow", board.root).close()
    told = (
        r"is called other, there is uio0 \(meadow\), uio1 \(axi-pmon\), uio2 \(meadow-old\): load"
    )
    with pytest.raises(BoardError, match=told):
        Uio("other", board.root)


def test_two_of_a_name_are_refused(board: FakeBoard) -> None:
    write_files(classes(board) / "uio1", {"name": "meadow"})
    with pytest.raises(BoardError, match="2 UIO devices are called meadow: uio0, uio1"):
        Uio("meadow", board.root)


def test_a_map_that_is_too_small_is_refused(board: FakeBoard) -> None:
    write_files(classes(board) / "uio0/maps/map0", {"size": "0x800"})
    with pytest.raises(BoardError, match="uio0 must have 4096 bytes, not 2048: correct `reg`"):
        Uio("meadow", board.root)


def test_a_device_file_that_is_missing_is_named(board: FakeBoard) -> None:
    (board.root / "dev/uio0").rename(board.root / "dev/other")
    with pytest.raises(BoardError, match="cannot open .*/dev/uio0: No such file"):
        Uio("meadow", board.root)
    (board.root / "dev/other").rename(board.root / "dev/uio0")


def test_the_interrupt_comes_when_it_is_enabled(board: FakeBoard) -> None:
    uio = Uio("meadow", board.root)
    assert not uio.wait_interrupt(0.05)
    board.spurious_interrupt()
    assert uio.wait_interrupt(5) and not uio.wait_interrupt(0.05)
    uio.close()
