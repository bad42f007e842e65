# SPDX-License-Identifier: Apache-2.0
"""Rows of integers in the form in which they are broadcast to the lanes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["paired_rows"]


def paired_rows(rows: Sequence[Sequence[int]]) -> list[list[dict[str, int]]]:
    """What a signal of `rows_layout` is set to for R rows of W numbers within -127..127."""
    return [
        [
            {"low": int(low), "high": int(high) - (low < 0), "odd": int(high) & 1}
            for high, low in zip(rows[pair], rows[pair + 1], strict=True)
        ]
        for pair in range(0, len(rows), 2)
    ]
