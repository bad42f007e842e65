# SPDX-License-Identifier: Apache-2.0
"""The field `rotary_divisors` of a model description: its rules, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["check_divisors", "divisors_of"]

_FIELD = "rotary_divisors"


def check_divisors(divisors: Any, pairs: int) -> None:
    """ValueError unless `divisors` are none, or a positive float for each pair of a head."""
    if not isinstance(divisors, tuple) or not all(type(value) is float for value in divisors):
        raise ValueError(f"{_FIELD} must be a tuple of floats, not {divisors!r:.40}")
    if divisors and len(divisors) != pairs:
        raise ValueError(
            f"{_FIELD} must be none or one for each of {pairs} pairs, not {len(divisors)}"
        )
    wrong = [value for value in divisors if not 0 < value < float("inf")]
    if wrong:
        raise ValueError(f"{_FIELD} must be above 0, not {wrong[0]!r}")


def divisors_of(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The field of a description as JSON has it, a list or nothing; ValueError for another kind."""
    found = values.get(_FIELD, [])
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"{_FIELD} must be a list, not {found!r:.40}")
    return tuple(found)
