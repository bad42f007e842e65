# SPDX-License-Identifier: Apache-2.0
"""What the array does in each cycle, for the counters and the port `activity`."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rtl_gen.interfaces.command import INDEX_BITS

__all__ = ["ArrayActivitySignature"]


class ArrayActivitySignature(wiring.Signature):
    """What the array does, seen from the array.

    In each busy cycle one of `busy_cycle` and the four `stall_*` is 1, one cycle late.

    Members
    -------
    busy_cycle: a tile is read.
    stall_tile: the next tile operation waits for its tile.
    stall_operand: it waits for its operand words.
    stall_drain: it waits for the drain of an earlier phase, or nothing is left but drains.
    stall_softmax: it waits for probabilities.
    busy_command: with them, index of the command whose tile operation is issued or waited for; with
        none left, of the last command taken.
    drain_cycle: accumulators are drained; not late.
    score_cycle: the accumulators that are drained are scores; not late.
    drain_command: index of the command whose accumulators are drained.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "busy_cycle": Out(1),
                "stall_tile": Out(1),
                "stall_operand": Out(1),
                "stall_drain": Out(1),
                "stall_softmax": Out(1),
                "busy_command": Out(INDEX_BITS),
                "drain_cycle": Out(1),
                "score_cycle": Out(1),
                "drain_command": Out(INDEX_BITS),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrayActivitySignature)
