# SPDX-License-Identifier: Apache-2.0
"""What is added to the counters of the register file."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from meadow.spec.registers import COUNTERS

__all__ = ["INCREMENT_BITS", "CountersSignature"]

INCREMENT_BITS = 8
"""A cycle adds at most 16 bytes per port and direction to a counter: 2 * 4 * 16 < 2**8."""


class CountersSignature(wiring.Signature):
    """Increments of all counters in one cycle, seen from what is counted.

    Members
    -------
    {counter}: Out(INCREMENT_BITS), unsigned, for each of `meadow.spec.registers.COUNTERS` by its
        name.
    """

    def __init__(self) -> None:
        super().__init__({name: Out(INCREMENT_BITS) for name, _ in COUNTERS})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CountersSignature)
