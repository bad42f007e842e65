# SPDX-License-Identifier: Apache-2.0
"""DMA descriptors and beats, inside the AXI boundary."""

from __future__ import annotations

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import Out

from meadow.spec.config import BEAT_BYTES
from rtl_gen.interfaces.command import INDEX_BITS

__all__ = [
    "BEAT_BITS",
    "LENGTH_BITS",
    "OFFSET_BITS",
    "READ_BEAT",
    "READ_DESCRIPTOR",
    "TRAFFIC_BEAT",
    "WRITE_DESCRIPTOR",
    "Route",
    "WriteSignature",
]

BEAT_BITS = 8 * BEAT_BYTES
"""Bits of a beat."""
OFFSET_BITS = 32
"""Bits of an offset in the DMA window, in beats."""
LENGTH_BITS = 28
"""Bits of the beats of a descriptor."""
_TRAFFIC_BITS = 3


class Route(enum.Enum, shape=2):
    """Consumer of a port's read data."""

    COMMAND = 0
    LOAD = 1
    WEIGHTS = 2
    KV = 3


READ_DESCRIPTOR = data.StructLayout(
    {
        "offset": OFFSET_BITS,  # first beat, from the beginning of the DMA window
        "beats": LENGTH_BITS,  # beats of 16 bytes, at least 1
        "route": Route,
        "traffic": _TRAFFIC_BITS,  # TrafficClass
        "command": INDEX_BITS,  # index of the command that asks for them
    }
)
"""Beats to read."""

READ_BEAT = data.StructLayout({"data": BEAT_BITS, "route": Route, "last": 1})
"""One beat in descriptor order; `last` marks the last beat of a descriptor."""

WRITE_DESCRIPTOR = data.StructLayout(
    {
        "offset": OFFSET_BITS,  # first beat, from the beginning of the DMA window
        "beats": LENGTH_BITS,  # whole beats of 16 bytes, at least 1
        "traffic": _TRAFFIC_BITS,  # TrafficClass
        "command": INDEX_BITS,  # index of the command that writes them
    }
)
"""Beats to write."""

TRAFFIC_BEAT = data.StructLayout(
    {
        "traffic": _TRAFFIC_BITS,  # TrafficClass
        "command": INDEX_BITS,  # index of the command that it belongs to
    }
)
"""What a beat that moves over the bus is, for the counters and the timeline."""


class WriteSignature(wiring.Signature):
    """How a unit writes through one port, seen from the unit.

    Members
    -------
    descriptor: Out stream of WRITE_DESCRIPTOR.
    data: Out stream of beats, all of descriptor n before those of n + 1.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "descriptor": Out(stream.Signature(WRITE_DESCRIPTOR)),
                "data": Out(stream.Signature(BEAT_BITS)),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WriteSignature)
