# SPDX-License-Identifier: Apache-2.0
"""A timeline that cannot be written, or of a device without time, is refused before the work begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app


def _never(*arguments: object, **options: object) -> None:
    raise AssertionError("the work has begun")


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.bench.bench", _never)
    monkeypatch.setattr("workbench.run.load_model", _never)


@pytest.mark.parametrize("command", [["bench", "opt-125m"], ["run"]], ids=["bench", "run"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere/t.json", "No such file or directory"),
        (".", "Is a directory"),
        ("/dev/null", "Not a regular file"),
        ("a-file/t.json", "Not a directory"),
    ],
)
def test_a_timeline_that_cannot_be_written_is_one_line(
    path: str, reason: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    result = CliRunner().invoke(app, [*command, "--trace", path])
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert f"cannot write the timeline: {reason}" in result.stderr and path in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["a-file"]


def test_a_device_without_time_has_no_timeline(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    result = CliRunner().invoke(app, ["run", "--device", "golden", "--trace", str(path)])
    assert result.exit_code == 2 and result.stdout == "" and not path.exists()
    assert result.stderr == (
        "meadow: only device sim has a timeline, not 'golden': leave --trace out\n"
    )
