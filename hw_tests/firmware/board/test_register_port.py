# SPDX-License-Identifier: Apache-2.0
"""The 32-bit accesses: what they do to a mapped file. In which pieces they reach it shows
test_aarch64.py.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from firmware.board.register_port import RegisterPort
from hw_tests.fake_board.client import FakePort


def test_words_are_loaded_and_stored(tmp_path: Path) -> None:
    path = tmp_path / "registers"
    path.write_bytes(bytes(range(256)) * 16)
    with path.open("r+b") as file:
        port = RegisterPort(file.fileno(), 4096)
        assert port.read(0x104) == int.from_bytes(bytes([4, 5, 6, 7]), sys.byteorder)
        port.write(0x108, 0xFFFFFFFF)
        port.write(0xFFC, 1)
        port.close()
    changed = bytearray(bytes(range(256)) * 16)
    changed[0x108:0x10C], changed[0xFFC:] = b"\xff" * 4, (1).to_bytes(4, sys.byteorder)
    assert path.read_bytes() == changed


def test_the_class_that_a_fake_replaces_is_small() -> None:
    for port in (RegisterPort, FakePort):
        assert len(inspect.getsource(port).splitlines()) <= 40
        methods = {name for name in vars(port) if not name.startswith("_")}
        assert methods - {"refused"} == {"read", "write", "close"}
