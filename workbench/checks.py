# SPDX-License-Identifier: Apache-2.0
"""Checks of what a command is given, each with the one sentence that a wrong value is told with."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["check_choice", "check_least", "check_path"]


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """ValueError unless `value` is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_least(name: str, value: float | None, least: float) -> None:
    """ValueError unless `value` is at least `least`, which no NaN is; None, an option left out, is
    right.
    """
    if value is not None and not value >= least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def check_path(text: str) -> None:
    """ValueError for the empty path: that of a shell variable which is not set, while Python takes
    it for the current folder.
    """
    if not text:
        raise ValueError("a path must not be empty, not ''")
