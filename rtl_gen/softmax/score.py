# SPDX-License-Identifier: Apache-2.0
"""Scores on their way into a lane's softmax."""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from meadow.spec.config import AcceleratorConfig

__all__ = ["SCORE_BITS", "score_layout"]

SCORE_BITS = 16
"""Bits of a score, signed, 8 of them behind the point."""


def score_layout(config: AcceleratorConfig) -> data.StructLayout:
    """R scores of a key block.

    Fields
    ------
    first, last: the first and the last cycle of the block.
    index: number of the cycle.
    group: token group.
    bank: probability buffer.
    reset: the row starts from scratch.
    scores: R scores.
    visible: visible[r] = 0 masks key r.
    """
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "index": range(config.tile_cycles),
            "group": range(max(2, config.groups)),
            "bank": 1,
            "reset": 1,
            "scores": data.ArrayLayout(signed(SCORE_BITS), config.rows),
            "visible": data.ArrayLayout(1, config.rows),
        }
    )
