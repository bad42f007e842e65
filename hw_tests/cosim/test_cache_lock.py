# SPDX-License-Identifier: Apache-2.0
"""Who builds, who waits for it, and what a build leaves that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cosim.cache import obtain
from hw_tests.cosim.cache_builds import sleepers, soon, write

ROOT = Path(__file__).parents[2]
# Builds for a minute: a program that starts a program, as make starts a compiler.
SLOW_BUILD = """
import signal, subprocess, sys
from pathlib import Path
from cosim.cache import obtain

def build(scratch):
    (scratch / "half").write_text("x")
    print("begun", flush=True)
    subprocess.run(["sh", "-c", "sleep 61 & sleep 62; true"])
    (scratch / "file").write_text("late")

# Under nohup, or behind an `&`, the tests inherit that these are ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
obtain(Path(sys.argv[1]), build)
"""


def start(target: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of building `target`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(target)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


def test_who_waits_says_so_once_and_gets_the_same(tmp_path: Path) -> None:
    process = start(tmp_path / "thing")
    said: list[str] = []
    results = []
    waiter = threading.Thread(
        target=lambda: results.append(obtain(tmp_path / "thing", write, log=said.append))
    )
    waiter.start()
    assert soon(lambda: said)
    time.sleep(0.3)
    assert said == [f"waiting for process {process.pid}, which builds {tmp_path.name}/thing now"]
    process.kill()
    process.wait()
    waiter.join(20)
    assert results == [tmp_path / "thing"]
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_build_leaves_no_program_and_no_scratch(tmp_path: Path, number: int) -> None:
    process = start(tmp_path / "thing")
    assert soon(lambda: sum("sleep" in line for line in sleepers(process.pid)) >= 3)
    process.send_signal(number)
    process.wait(20)
    if number != signal.SIGINT:  # which Python reports in its own way
        assert process.returncode == -number
    assert soon(lambda: not sleepers(process.pid))
    if number == signal.SIGKILL:
        assert {path.name[:6] for path in tmp_path.iterdir()} == {"thing."}
        obtain(tmp_path / "another", write)  # whoever comes next cleans up
        assert [path.name for path in tmp_path.iterdir()] == ["another"]
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_running_build_is_not_swept_away(tmp_path: Path) -> None:
    process = start(tmp_path / "thing")
    before = sorted(path.name for path in tmp_path.iterdir())
    obtain(tmp_path / "another", write)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "another"])
    process.kill()
    process.wait()


def test_what_older_versions_left_is_removed(tmp_path: Path) -> None:
    key = "0123456789abcdef01234567"
    (tmp_path / f"{key}.a_b3c4d5").mkdir()
    (tmp_path / f"{key}.a_b3c4d5" / "top.v").write_text("x")
    (tmp_path / f"{key}.lock").touch()
    obtain(tmp_path / "another", write)
    assert [path.name for path in tmp_path.iterdir()] == ["another"]
