# SPDX-License-Identifier: Apache-2.0
"""Every way in which a client ends: one clear line, and a device that the next client can use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from firmware.board.device import open_board
from firmware.board.errors import InterruptLost, Terminated
from firmware.device import DeviceClosed, DeviceTimeout
from firmware.session import Session
from hw_tests.fake_board.board import BASE
from hw_tests.firmware.board.conftest import (
    PROMPT,
    TOKENS,
    MakeBoard,
    StartClient,
    ended,
    generate,
    tokens_of,
)
from meadow.model.image import Image

STATUS = 0x104


@pytest.mark.parametrize("timeout", [None, 1.5])
def test_a_lost_interrupt_is_named(
    make_board: MakeBoard, image: Image, expected: list[int], timeout: float | None
) -> None:
    board = make_board()
    board.lose_interrupts = True
    with pytest.raises(InterruptLost, match="the program has ended, but .*/dev/uio0 had no inter"):
        generate(board, image, timeout_s=timeout)
    board.lose_interrupts = False
    assert generate(board, image) == expected


def test_an_interrupt_of_an_earlier_program_is_passed_over(
    make_board: MakeBoard, image: Image, expected: list[int]
) -> None:
    board = make_board()
    with open_board(image, root=board.root) as device:
        session = Session(device, image)
        device.uio.enable_interrupt()
        board.spurious_interrupt()
        assert list(session.generate(PROMPT, TOKENS)) == expected


@pytest.mark.sim
def test_a_refused_access_ends_the_client_with_one_line(
    make_board: MakeBoard, start: StartClient, expected: list[int]
) -> None:
    board = make_board(simulated=True)
    board.refuse = {STATUS}
    code, line = ended(start(board))
    assert code == 128 + signal.SIGBUS
    assert line == (
        f"meadow: the bus refused reading register 0x104 of {board.root}/dev/uio0: check that the "
        "bitstream of its overlay is loaded, and clock and reset of the device"
    )
    board.refuse = {0x11C}
    code, line = ended(start(board))
    assert code == 128 + signal.SIGBUS and "refused writing 0x5 to register 0x11c of" in line
    board.refuse = set()
    assert tokens_of(start(board)) == expected


@pytest.mark.sim
def test_an_error_of_the_memory_is_told_and_the_next_client_works(
    make_board: MakeBoard, start: StartClient, expected: list[int]
) -> None:
    board = make_board(simulated=True)
    board.simulation.configure(error_address=BASE)
    code, line = ended(start(board))
    assert code == 2 and "meadow: the device reports READ_RESPONSE at command" in line
    board.simulation.configure(error_address=None)
    assert tokens_of(start(board)) == expected


@pytest.mark.sim
@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGKILL, -signal.SIGKILL, None),
        (signal.SIGTERM, 143, "meadow: asked to end: the device is stopped"),
        (signal.SIGHUP, 129, "meadow: asked to end: the device is stopped"),
        (signal.SIGINT, 130, "meadow: interrupted: the device is stopped"),
    ],
)
def test_a_client_that_is_ended_in_mid_program_leaves_a_device_for_the_next(
    make_board: MakeBoard,
    start: StartClient,
    expected: list[int],
    number: signal.Signals,
    code: int,
    told: str | None,
) -> None:
    board = make_board(simulated=True)
    board.frozen = True
    process = start(board)
    assert board.started.wait(60)
    time.sleep(0.3)  # into the wait for the interrupt
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines() == ([] if told is None else [told])
    assert board.logic.busy == (told is None)
    board.frozen = False
    assert tokens_of(start(board)) == expected


@pytest.mark.sim
def test_a_program_that_does_not_end_is_a_timeout(make_board: MakeBoard, image: Image) -> None:
    board = make_board(simulated=True)
    board.frozen = True
    with pytest.raises(DeviceTimeout, match=r"no interrupt within 0.2 s, and the device is busy"):
        generate(board, image, timeout_s=0.2)
    assert not board.logic.busy


def test_a_device_that_does_not_become_idle_is_given_back_all_the_same(
    make_board: MakeBoard, image: Image
) -> None:
    board = make_board()
    device = open_board(image, root=board.root)
    board.planted[STATUS] = 0x11
    with pytest.raises(DeviceTimeout, match="busy 2.0 s after a soft reset: the memory does not"):
        device.close()
    board.planted = {}
    generate(board, image)


def test_a_closed_device_says_so(make_board: MakeBoard, image: Image) -> None:
    board = make_board()
    before = signal.getsignal(signal.SIGTERM)
    device = open_board(image, root=board.root)
    view = device.memory[:16]
    assert signal.getsignal(signal.SIGTERM) != before
    device.close()
    device.close()
    assert signal.getsignal(signal.SIGTERM) == before and view.size == 16
    uses: tuple[Callable[[], object], ...] = (
        lambda: device.read(0),
        lambda: device.memory,
        lambda: device.sync_for_device(0, 64),
        lambda: device.sync_for_cpu(0, 64),
        lambda: device.wait(),
    )
    for use in uses:
        with pytest.raises(DeviceClosed):
            use()


def test_a_handler_of_the_programs_own_stays(make_board: MakeBoard, image: Image) -> None:
    board, seen = make_board(), []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with open_board(image, root=board.root):
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(Terminated) as error:
        with open_board(image, root=board.root):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    assert error.value.code == 143
    generate(board, image)
