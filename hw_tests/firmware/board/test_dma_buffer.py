# SPDX-License-Identifier: Apache-2.0
"""The shared memory: which lines are written out and dropped, and which buffers are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firmware.board.dma_buffer import LINE_BYTES, DmaBuffer
from firmware.board.errors import BoardError
from hw_tests.fake_board.board import BASE, FakeBoard
from hw_tests.firmware.board.conftest import MakeBoard
from meadow.spec.linux import BUFFER_NAME

SIZE = 1 << 16


@pytest.fixture
def board(make_board: MakeBoard) -> FakeBoard:
    return make_board(buffer_bytes=SIZE)


def attribute(board: FakeBoard, name: str) -> Path:
    return board.root / "sys/class/u-dma-buf" / BUFFER_NAME / name


@pytest.mark.parametrize(
    ("first", "size", "start", "count"),
    [
        (0, SIZE, 0, SIZE),
        (64, 64, 64, 64),
        (63, 2, 0, 128),
        (SIZE - 1, 1, SIZE - 64, 64),
        (5, 1, 0, 64),
    ],
)
def test_whole_lines_are_copied(
    board: FakeBoard, first: int, size: int, start: int, count: int
) -> None:
    buffer = DmaBuffer(BUFFER_NAME, board.root)
    assert (buffer.address, buffer.memory.size, buffer.coherent) == (BASE, SIZE, False)
    span = slice(start, start + count)
    buffer.memory[:] = 7
    buffer.sync_for_device(first, size)
    seen = board.logic.device.memory
    assert (seen[span] == 7).all() and np.count_nonzero(seen) == count
    seen[:] = 9
    buffer.sync_for_cpu(first, size)
    assert (buffer.memory[span] == 9).all() and np.count_nonzero(buffer.memory == 9) == count
    assert board.syncs == [("sync_for_device", start, count), ("sync_for_cpu", start, count)]
    buffer.close()


def test_nothing_is_asked_for_no_bytes(board: FakeBoard) -> None:
    buffer = DmaBuffer(BUFFER_NAME, board.root)
    buffer.sync_for_device(64, 0)
    assert board.syncs == []
    buffer.close()


def test_a_span_that_is_not_synchronised_is_told(board: FakeBoard) -> None:
    buffer = DmaBuffer(BUFFER_NAME, board.root)
    buffer.size_bytes *= 2
    with pytest.raises(BoardError, match="sync_for_cpu did not do 64 bytes from 0x10000 on: is it"):
        buffer.sync_for_cpu(SIZE, LINE_BYTES)
    buffer.close()


def test_a_buffer_of_4_gib_is_written_out_in_pieces(
    board: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = DmaBuffer(BUFFER_NAME, board.root)
    buffer.size_bytes, words = 1 << 32, []
    monkeypatch.setattr(
        "firmware.board.dma_buffer.write_attribute", lambda path, text: words.append(int(text, 0))
    )
    monkeypatch.setattr("firmware.board.dma_buffer.read_attribute", lambda path: "0")
    buffer.sync_for_device(0, 1 << 32)
    spans = [(word >> 32, word & 0xFFFFFFF0, word & 15) for word in words]
    assert spans == [(0, (1 << 32) - 64, 5), ((1 << 32) - 64, 64, 5)]
    buffer.close()


def test_memory_that_is_still_in_use_stays_mapped(board: FakeBoard) -> None:
    buffer = DmaBuffer(BUFFER_NAME, board.root)
    view = buffer.memory[:4]
    buffer.close()
    view[:] = 3
    assert (board.root / "dev" / BUFFER_NAME).read_bytes()[:4] == b"\3\3\3\3"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("phys_addr", "0x60000100", "must begin at a page, not at 0x60000100"),
        ("size", "0", r"must have 1\.\.4294967296 bytes, not 0"),
        ("size", "8589934592", "must have 1..4294967296 bytes, not 8589934592"),
        ("size", str(2 * SIZE), "cannot map .*/dev/udmabuf-meadow: mmap length"),
        ("size", "many", "size must hold a number, not 'many'"),
    ],
)
def test_a_buffer_that_cannot_be_used_is_refused(
    board: FakeBoard, name: str, text: str, told: str
) -> None:
    attribute(board, name).write_text(text, "utf-8")
    with pytest.raises(BoardError, match=told):
        DmaBuffer(BUFFER_NAME, board.root)


def test_a_buffer_that_is_not_there_is_named(board: FakeBoard) -> None:
    with pytest.raises(
        BoardError, match=f"no u-dma-buf buffer is called other, there is {BUFFER_NAME}"
    ):
        DmaBuffer("other", board.root)
    attribute(board, "dma_coherent").unlink()
    with pytest.raises(BoardError, match="the kernel does not have .*/dma_coherent"):
        DmaBuffer(BUFFER_NAME, board.root)
