# SPDX-License-Identifier: Apache-2.0
"""Several streams that take turns at one register."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Const, Module, Signal, Value

__all__ = ["take_turns"]


def take_turns(m: Module, sources: Sequence[Any], free: Value) -> Signal:
    """Drives `ready` of the streams `sources`: in a cycle in which `free` is 1 one of those that
    are valid transfers, the one behind the last that did first of all.

    Returns a bit for each source: it is the one that transfers if `free` is 1. These bits do not
    wait for `free`, which may come late in the cycle.
    """
    count = len(sources)
    turn = Signal(range(max(2, count)))  # whose turn is first
    chosen = Signal(count)
    with m.Switch(turn):
        for first in range(count):
            with m.Case(first):
                earlier: Value = Const(0, 1)
                for number in ((first + index) % count for index in range(count)):
                    source = sources[number]
                    m.d.comb += [
                        source.ready.eq(free & ~earlier),
                        chosen[number].eq(source.valid & ~earlier),
                    ]
                    earlier = earlier | source.valid
    for number in range(count):
        with m.If(free & chosen[number]):
            m.d.sync += turn.eq((number + 1) % count)
    return chosen
