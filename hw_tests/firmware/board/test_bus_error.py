# SPDX-License-Identifier: Apache-2.0
"""A load that the kernel refuses ends in one line, and not in silence: the real signal, of a page
behind the end of a file.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from hw_tests.firmware.board.conftest import ROOT

PROGRAM = """
import os, sys
from firmware.board.bus_error import BusErrorLine
from firmware.board.register_port import RegisterPort
file = os.open(sys.argv[1], os.O_RDWR)
port = RegisterPort(file, 4096)
if sys.argv[2] == "inside":
    with BusErrorLine(lambda: f"the bus refused {what}"):
        what = "nothing"
        port.write(0x100, 1)
        what = f"a load of {port.read(0x100)}"
        os.ftruncate(file, 0)
        port.read(0x100)
else:
    with BusErrorLine(lambda: "not told"):
        pass
    os.ftruncate(file, 0)
    port.read(0x100)
print("not reached")
"""


def run(path: Path, where: str) -> subprocess.CompletedProcess[str]:
    path.write_bytes(bytes(4096))
    words = [sys.executable, "-c", PROGRAM, str(path), where]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_refused_load_is_told_in_one_line(tmp_path: Path) -> None:
    done = run(tmp_path / "registers", "inside")
    assert done.returncode == 128 + signal.SIGBUS
    assert (done.stdout, done.stderr) == ("", "meadow: the bus refused a load of 1\n")


def test_outside_the_signal_is_whose_it_was(tmp_path: Path) -> None:
    done = run(tmp_path / "registers", "outside")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGBUS, "", "")
