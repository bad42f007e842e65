# SPDX-License-Identifier: Apache-2.0
"""The command as a process of its own: whatever the terminal can show, and whoever reads it, no
report is lost.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from workbench.console import EXIT_ERROR, EXIT_NO_READER

PACK = "ablation --rows 16 --columns 16"
"""Quick, and its table has a multiplication sign, as has what it says on stderr."""


def shell(
    redirection: str = "", *, arguments: str = PACK, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `meadow` below a shell, so that its streams can be closed."""
    command = f"{shlex.quote(sys.executable)} -m workbench.cli {arguments} {redirection}"
    return subprocess.run(
        ["bash", "-c", command], env={**os.environ, **environment}, capture_output=True
    )


@pytest.mark.parametrize(
    ("environment", "sign"),
    [
        ({"PYTHONIOENCODING": "ascii:strict"}, b"\\xd7"),
        ({"PYTHONIOENCODING": "latin-1"}, b"\xd7"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"\\xd7"),
        ({"PYTHONIOENCODING": "utf-8"}, "×".encode()),
    ],
)
def test_a_character_that_the_encoding_lacks_is_escaped(
    environment: dict[str, str], sign: bytes
) -> None:
    result = shell(**environment)
    assert result.returncode == 0, result.stderr
    assert b"own 16 " + sign + b" 16" in result.stdout and b"rice instead" in result.stdout
    assert b"packing own" in result.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_name_that_is_no_text_is_told(encoding: str) -> None:
    result = shell(arguments="report $'none\\xff\\u4e2d'", PYTHONIOENCODING=encoding)
    assert result.returncode == EXIT_ERROR and b"Traceback" not in result.stderr
    assert b"meadow: there is no image file or checkpoint directory none\\udcff" in result.stderr


@pytest.mark.parametrize(
    "environment",
    [
        *({"COLUMNS": columns} for columns in ("0", "20")),
        {"FORCE_COLOR": "1", "TERM": "dumb", "COLUMNS": "2"},
    ],
)
def test_a_narrow_or_simple_terminal_gets_the_whole_table(environment: dict[str, str]) -> None:
    result = shell(**environment)
    assert result.returncode == 0, result.stderr
    for words in ("fixed-width", "+ frequency order", "2.63×", "rice instead"):
        assert words.encode() in result.stdout


@pytest.mark.parametrize("stream", ["", "--json", "2>&1 >/dev/null"])
def test_a_reader_that_goes_away_ends_the_command_quietly(stream: str) -> None:
    result = shell(f"{stream} | true; exit ${{PIPESTATUS[0]}}")
    assert result.returncode == EXIT_NO_READER
    assert b"Traceback" not in result.stderr and b"Broken pipe" not in result.stderr
    assert b"Exception ignored" not in result.stderr


@pytest.mark.parametrize("arguments", ["--help", "run --help", ""])
@pytest.mark.parametrize("stream", ["", "2>&1"])
def test_help_whose_reader_goes_away_ends_as_quietly(arguments: str, stream: str) -> None:
    result = shell(f"{stream} | true; exit ${{PIPESTATUS[0]}}", arguments=arguments)
    assert (result.returncode, result.stderr) == (EXIT_NO_READER, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_end_a_run(closed: str) -> None:
    result = shell(closed)
    assert result.returncode == 0
    assert (b"rice instead" in result.stdout) == (closed == "2>&-")
    assert (b"packing own" in result.stderr) == (closed == ">&-")


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_full_disk_is_an_error_of_one_line(form: str) -> None:
    result = shell(f"{form} >/dev/full")
    assert result.returncode == EXIT_ERROR
    lines = result.stderr.decode().splitlines()
    assert lines[1:] == ["meadow: No space left on device"]
    assert shell(f"{form} 2>/dev/full").returncode == EXIT_ERROR
