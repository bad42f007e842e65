# SPDX-License-Identifier: Apache-2.0
"""Fake boards, and clients of them in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import firmware.board.device
from firmware.board.device import open_board
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.fake_board import client
from hw_tests.fake_board.board import FakeBoard
from hw_tests.fake_board.logic import golden_logic, simulated_logic
from meadow.compiler.image import write_image
from meadow.model.image import Image

ROOT = Path(__file__).resolve().parents[3]
PROMPT = [5, 17, 40, 3, 77]
TOKENS = 4
MakeBoard = Callable[..., FakeBoard]
StartClient = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def expected(image: Image) -> list[int]:
    """What the golden device generates from PROMPT."""
    with GoldenDevice(image.manifest.config, Session.window_bytes(image)) as device:
        return list(Session(device, image).generate(PROMPT, TOKENS))


@pytest.fixture(scope="session")
def image_file(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same image as a file."""
    path = tmp_path_factory.mktemp("image") / "model.meadow"
    write_image(image, path)
    return path


@pytest.fixture
def make_board(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeBoard]:
    """FakeBoard with room for `image`; clients of this process use it. simulated: its RTL, else the
    golden machine.
    """
    monkeypatch.setattr(firmware.board.device, "RegisterPort", client.FakePort)
    with ExitStack() as boards:

        def make(*, simulated: bool = False, name: str = "root", **options: object) -> FakeBoard:
            values = {"buffer_bytes": Session.window_bytes(image), **options}
            logic = simulated_logic if simulated else golden_logic
            board = boards.enter_context(FakeBoard(tmp_path / name, make=logic, **values))  # pyright: ignore[reportArgumentType]
            for name, value in board.environment.items():
                monkeypatch.setenv(name, value)
            return board

        yield make


@pytest.fixture
def start(image_file: Path) -> Iterator[StartClient]:
    """Start `python -m firmware.board` on a board; killed at the end if it runs still."""
    started = []

    def begin(board: FakeBoard, *words: str, image: Path = image_file) -> subprocess.Popen[str]:
        command = [sys.executable, client.__file__, "firmware.board", str(image)]
        prompt = ["--prompt-tokens", ",".join(map(str, PROMPT)), "--max-tokens", str(TOKENS)]
        started.append(
            subprocess.Popen(
                [*command, *prompt, "--root", str(board.root), *words],
                env=os.environ | board.environment | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def generate(board: FakeBoard, image: Image, **options: object) -> list[int]:
    """Three lines: open, load, generate."""
    with open_board(image, root=board.root) as device:
        session = Session(device, image, **options)  # pyright: ignore[reportArgumentType]
        return list(session.generate(PROMPT, TOKENS))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and the only line of the client's standard error."""
    _, errors = process.communicate(timeout=120)
    (line,) = errors.splitlines()
    return process.returncode, line


def tokens_of(process: subprocess.Popen[str]) -> list[int]:
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    return [int(line) for line in output.splitlines()]
