# SPDX-License-Identifier: Apache-2.0
"""The boards that there are, each a record; whatever is asked of a board is asked of its record."""

from __future__ import annotations

from collections.abc import Mapping

from boards.kv260.board import KV260
from boards.record import Board
from boards.zcu102.board import ZCU102

__all__ = ["BOARDS", "named_board"]

BOARDS: Mapping[str, Board] = {
    "zcu102": ZCU102,
    "kv260": KV260,
}
"""By name; docs/extending.md says what a new one needs."""


def named_board(name: str) -> Board:
    """The named board; ValueError lists the names there are."""
    if name not in BOARDS:
        raise ValueError(f"unknown board {name!r}: choose from {', '.join(BOARDS)}")
    return BOARDS[name]
