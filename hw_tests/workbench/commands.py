# SPDX-License-Identifier: Apache-2.0
"""Commands of `meadow` in this process."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from workbench.cli import app

__all__ = ["meadow"]


def meadow(*arguments: object, code: int = 0) -> Any:
    """What `meadow arguments` came to: `stdout`, `stderr`, `output`. Fails unless its exit code is
    `code`.
    """
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result
