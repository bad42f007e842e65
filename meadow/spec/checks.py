# SPDX-License-Identifier: Apache-2.0
"""Checks of single values, each with the one sentence that a wrong value is told with."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["check_choice", "check_integer", "check_least"]


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """ValueError unless `value` is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_integer(name: str, value: object, least: int) -> None:
    """ValueError unless `value` is an integer of at least `least`; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer, not {value!r}")
    check_least(name, value, least)


def check_least(name: str, value: float | None, least: float) -> None:
    """ValueError unless `value` is at least `least`, which no NaN is; None, an option left out, is
    right.
    """
    if value is not None and not value >= least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
