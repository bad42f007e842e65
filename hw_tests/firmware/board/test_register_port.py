# SPDX-License-Identifier: Apache-2.0
"""The 32-bit accesses: what they do to a mapped file, and in which pieces.

The trace is Valgrind's: it prints the address and size of every load and store of the interpreter.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from firmware.board.register_port import RegisterPort
from hw_tests.fake_board.client import FakePort
from hw_tests.firmware.board.conftest import ROOT

TRACED = """
import ctypes, mmap, os, sys
sys.path.insert(0, sys.argv[1])
from firmware.board.register_port import RegisterPort
port = RegisterPort(os.open(sys.argv[2], os.O_RDWR), 4096)
print(f"BASE {ctypes.addressof(ctypes.c_char.from_buffer(port._map)):x}", flush=True)
port.read(0x104)
port.write(0x108, 0xFFFFFFFF)
port.write(0xFFC, 0)
port.read(0x000)
other = ctypes.c_uint32.from_buffer(port._map, 0x200)
other.value = 1
"""
EXPECTED = [("L", 0x104, 4), ("S", 0x108, 4), ("S", 0xFFC, 4), ("L", 0x000, 4)]
OF_CTYPES = [("L", 0x200, 4), ("S", 0x200, 4)]


def traced(lines: list[str]) -> list[tuple[str, int, int]]:
    """Loads and stores of the page that the line BASE names, behind that line."""
    (start,) = (index for index, line in enumerate(lines) if line.startswith("BASE "))
    base = int(lines[start].split()[1], 16)
    found = []
    for line in lines[start + 1 :]:
        match = re.fullmatch(r" *([LSM]) +([0-9a-f]+),(\d+)", line)
        if match is not None and 0 <= int(match[2], 16) - base < 4096:
            found.append((match[1], int(match[2], 16) - base, int(match[3])))
    return found


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


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind on PATH")
def test_each_access_is_one_load_or_store_of_32_bits(tmp_path: Path) -> None:
    """And that of ctypes is not, which is why it is not used."""
    path = tmp_path / "registers"
    path.write_bytes(bytes(4096))
    python = str(Path(sys.executable).resolve())
    command = ["valgrind", "--tool=lackey", "--trace-mem=yes", python, "-I", "-S", "-E", "-c"]
    with tempfile.TemporaryFile("w+") as output:
        # A hundred million lines before the one that matters: only those behind it are kept.
        words = [*command, TRACED, str(ROOT), str(path)]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            keep = False
            for line in process.stdout:
                keep = keep or line.startswith("BASE ")
                if keep:
                    output.write(line)
        assert process.returncode == 0
        output.seek(0)
        found = traced(output.read().splitlines())
    assert found == EXPECTED + OF_CTYPES
