# SPDX-License-Identifier: Apache-2.0
"""Progress: plain lines for a file, a spinner on a terminal that is gone when the command says
something.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cosim import announce
from workbench import progress
from workbench.cli import app


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(
        progress, "_console", lambda: Console(file=written, force_terminal=True, width=80)
    )
    return written


def test_no_terminal_gets_one_plain_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    progress.log("one")
    progress.tick("half of it")
    progress.log("two")
    progress.settle()
    assert capsys.readouterr() == ("", "one\ntwo\n")


def test_a_terminal_shows_how_far_it_is(terminal: io.StringIO) -> None:
    progress.log("building [x]")
    progress.tick("command 3 of 7")
    progress._running[0][0].refresh()
    assert "command 3 of 7" in terminal.getvalue() and "0:00:0" in terminal.getvalue()
    progress.settle()
    assert terminal.getvalue().endswith("building [x]\n")
    assert not progress._running


def _refuse(*_: object, **__: object) -> None:
    raise ValueError("not today")


@pytest.mark.parametrize("fails", [False, True])
def test_the_spinner_is_gone_after_a_command(
    checkpoint: Path, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    if fails:
        monkeypatch.setattr("workbench.run.command.Session.generate", _refuse)
    result = CliRunner().invoke(app, ["run", str(checkpoint), "--device", "golden"])
    assert result.exit_code == (2 if fails else 0)
    assert not progress._running
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back
    assert terminal.getvalue().endswith(" tokens\n")


def test_without_a_terminal_the_line_comes_again_with_the_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "INTERVAL_SECONDS", 0.05)
    progress.log("building the simulator")
    time.sleep(0.08)
    progress.tick("compiling file 3 of 7")
    time.sleep(0.05)
    progress.settle()
    time.sleep(0.1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "building the simulator",
        "still building the simulator, 0 s",
        "still compiling file 3 of 7, 0 s",
    ]
