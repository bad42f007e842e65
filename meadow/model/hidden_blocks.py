# SPDX-License-Identifier: Apache-2.0
"""Hidden blocks: the MLP is computed in passes over H hidden channels each."""

from __future__ import annotations

__all__ = ["hidden_slices"]


def hidden_slices(hidden: int, hidden_block: int) -> tuple[slice, ...]:
    """The hidden blocks: channels [0, H), [H, 2H), ...; the last one may be shorter."""
    if hidden_block < 1:
        raise ValueError(f"hidden_block must be at least 1, not {hidden_block}")
    return tuple(
        slice(start, min(start + hidden_block, hidden)) for start in range(0, hidden, hidden_block)
    )
