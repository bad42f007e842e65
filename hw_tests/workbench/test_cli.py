# SPDX-License-Identifier: Apache-2.0
"""The command itself: wrong usage is one line, no argument is a request for help."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from workbench.cli import app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "No such command 'frob'"),
        (["--bogus"], "No such option: --bogus"),
        (["compile", "x"], "Missing option '-o' / '--output'"),
        (["compile"], "Missing argument 'model_dir'"),
        (["generate"], "Missing option '--out'"),
        (["verify", "--tokens", "x"], "'--tokens': Input should be a valid integer"),
        (["verify", "--stalls", "x"], "'--stalls': Input should be a valid number"),
        (["verify", "--stalls"], "Option '--stalls' requires an argument"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("meadow: ") and message in result.stderr
    assert result.stderr.endswith(" (see --help)\n") and result.stderr.count("\n") == 1


def test_without_arguments_there_is_help() -> None:
    result = CliRunner().invoke(app, [])
    for command in ("generate", "compile", "run", "verify"):
        assert command in result.output
