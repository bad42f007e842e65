# SPDX-License-Identifier: Apache-2.0
"""The field `rotary_divisors` of a model description: its rules, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["check_divisors", "divisors_of"]

_FIELD = "rotary_divisors"
_LEAST = 1e-30
"""With it the angles of every position are finite."""


def check_divisors(divisors: Any, pairs: int) -> None:
    """ValueError unless `divisors` are none, or for each pair of a head a float that leaves its
    angles finite.
    """
    if not isinstance(divisors, tuple) or not all(type(value) is float for value in divisors):
        raise ValueError(f"{_FIELD} must be a tuple of floats, not {divisors!r:.40}")
    if divisors and len(divisors) != pairs:
        raise ValueError(
            f"{_FIELD} must be none or one for each of {pairs} pairs, not {len(divisors)}"
        )
    wrong = [value for value in divisors if not _LEAST <= value < float("inf")]
    if wrong:
        raise ValueError(f"{_FIELD} must be at least {_LEAST}, not {wrong[0]!r}")


def divisors_of(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The field of a description as JSON has it, a list or nothing; ValueError for another kind."""
    found = values.get(_FIELD, [])
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"{_FIELD} must be a list, not {found!r:.40}")
    return tuple(found)
