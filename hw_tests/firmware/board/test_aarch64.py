# SPDX-License-Identifier: Apache-2.0
"""The driver on the processor of a board: the same files under an emulated AArch64, with Debian's
Python 3.11.2 and NumPy 1.24.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hw_tests.aarch64.machine import Machine, MachineMissing, machine
from hw_tests.fake_board import client
from hw_tests.fake_board.board import FakeBoard
from hw_tests.firmware.board.conftest import PROMPT, ROOT, TOKENS, MakeBoard
from hw_tests.firmware.board.test_bus_error import PROGRAM

TRACED = """
import ctypes, mmap, os, sys
sys.path.insert(0, sys.argv[1])
from firmware.board.register_port import RegisterPort
port = RegisterPort(os.open(sys.argv[2], os.O_RDWR), 4096)
port.read(0x104)
port.write(0x108, 0xFFFFFFFF)
port.write(0xFFC, 0)
port.read(0x000)
other = ctypes.c_uint32.from_buffer(port._map, 0x200)
other.value = 1
"""
EXPECTED = [("L", 0x104, 4), ("S", 0x108, 4), ("S", 0xFFC, 4), ("L", 0x000, 4)]
OF_CTYPES = [("L", 0x200, 4), ("S", 0x200, 4)]

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    try:
        return machine(tmp_path_factory.mktemp("arm"))
    except MachineMissing as error:
        pytest.skip(f"no AArch64: {error}")


def run(
    command: list[str], *, packages: Path | None = None, board: FakeBoard | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {} if board is None else board.environment
    places = [str(ROOT), *([] if packages is None else [str(packages)])]
    environment = os.environ | variables | {"PYTHONPATH": ":".join(places)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_each_access_is_one_load_or_store_of_32_bits(arm: Machine, tmp_path: Path) -> None:
    path = tmp_path / "registers"
    path.write_bytes(bytes(4096))
    words = [*arm.command(trace=True), "-I", "-S", "-c", TRACED, str(ROOT), str(path)]
    done = run(words)  # whose last access is one of ctypes, which loads before it stores
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stderr.splitlines()]
    seen = [(kind, int(offset, 16), int(size)) for kind, offset, size in lines]
    assert seen == EXPECTED + OF_CTYPES


def test_a_refused_load_is_told_in_one_line(arm: Machine, tmp_path: Path) -> None:
    path = tmp_path / "registers"
    path.write_bytes(bytes(4096))
    done = run([*arm.command(), "-S", "-c", PROGRAM, str(path), "inside"])
    assert done.returncode == 128 + signal.SIGBUS
    assert (done.stdout, done.stderr) == ("", "meadow: the bus refused a load of 1\n")


@pytest.mark.sim
def test_the_driver_generates_what_golden_does(
    arm: Machine, make_board: MakeBoard, image_file: Path, expected: list[int]
) -> None:
    board = make_board(simulated=True)
    prompt = ["--prompt-tokens", ",".join(map(str, PROMPT)), "--max-tokens", str(TOKENS)]
    words = [client.__file__, "firmware.board", str(image_file), "--root", str(board.root), *prompt]
    done = run([*arm.command(), *words], packages=arm.packages, board=board)
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(line) for line in done.stdout.splitlines()] == expected
