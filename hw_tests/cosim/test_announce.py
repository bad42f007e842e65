# SPDX-License-Identifier: Apache-2.0
"""Lines with elapsed time come while work goes on, and end with it."""

from __future__ import annotations

import re
import time

import pytest

from cosim import announce
from cosim.announce import Announcer, announced


def test_what_takes_long_is_said_again_with_the_time() -> None:
    said: list[str] = []
    announcer = Announcer(said.append, interval_s=0.05)
    announcer("building the simulator with Verilator 5 (once, minutes for large designs)")
    time.sleep(0.18)
    announcer("case 1 of 2")
    announcer.update("case 1 of 2, cycle 7")
    time.sleep(0.08)
    announcer.end()
    said_then = list(said)
    time.sleep(0.15)
    assert said == said_then
    assert re.fullmatch(r"still building the simulator with Verilator 5, \d s", said[1])
    at = said.index("case 1 of 2")
    assert at >= 2
    assert re.fullmatch(r"still at case 1 of 2, cycle 7, \d s", said[at + 1])


def test_without_a_log_the_lines_are_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(announce, "INTERVAL_SECONDS", 0.05)
    with announced(None) as tell:
        tell("compiling")
        time.sleep(0.08)
    time.sleep(0.1)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == ["compiling", "still compiling, 0 s"]
    assert len(err.splitlines()) == 2


def test_a_log_of_the_caller_is_used_as_it_is() -> None:
    said: list[str] = []
    with announced(said.append) as tell:
        tell("compiling")
    assert said == ["compiling"]
