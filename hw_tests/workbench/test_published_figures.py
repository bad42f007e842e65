# SPDX-License-Identifier: Apache-2.0
"""Figures of README and docs that take about a minute, made again: the chip counts the same cycles
and bytes.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hw_tests.marks import long
from workbench.documents.measurements import load
from workbench.documents.runs import command_line

SIMULATED = (
    *("demo-tiny", "demo-small", "demo-story", "memory-minilm-tiny"),
    *(
        long("attention-512"),
        long("prefill-minilm"),
    ),  # zcu102: its simulator takes minutes to build
)
COUNTED = ("packing-steps", "packing-student-4")


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float | bool]]:
    """(path, number) of every number and truth value inside a report."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}/{index}")
    elif isinstance(value, int | float):
        yield path, value


def differences(name: str) -> list[str]:
    """Figures of the stored report that the command no longer prints, both values beside each
    other.
    """
    stored = load(name)
    assert stored is not None
    command = [sys.executable, "-m", "workbench.cli", *shlex.split(command_line(name))[1:]]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    now = dict(numbers(json.loads(result.stdout)))
    figures = dict(numbers(stored))
    assert len(figures) >= 10
    return [
        f"{path}: stored {value}, now {now.get(path)}"
        for path, value in figures.items()
        # Cycles and bytes are exact; a logarithm may differ in its last digit from one processor to
        # another.
        if now.get(path) != (pytest.approx(value, rel=1e-12) if type(value) is float else value)
    ]


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_simulated_figure_is_what_the_command_prints(name: str) -> None:
    assert differences(name) == [], (
        f"python -m workbench.documents.measurements run {name}, then tables"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTED)
def test_a_counted_figure_is_what_the_command_prints(name: str) -> None:
    assert differences(name) == [], (
        f"python -m workbench.documents.measurements run {name}, then tables"
    )
