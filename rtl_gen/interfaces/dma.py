# SPDX-License-Identifier: Apache-2.0
"""Layouts of DMA descriptors and beats, inside the AXI boundary."""

from __future__ import annotations

from amaranth.lib import data, enum

from rtl_gen.interfaces.command import INDEX_BITS

__all__ = ["READ_BEAT", "READ_DESCRIPTOR", "WRITE_DESCRIPTOR", "Route"]


class Route(enum.Enum, shape=2):
    """Consumer of a port's read data."""

    COMMAND = 0
    LOAD = 1
    WEIGHTS = 2
    KV = 3


READ_DESCRIPTOR = data.StructLayout(
    {"offset": 32, "beats": 28, "route": Route, "traffic": 3, "command": INDEX_BITS}
)
"""`beats` (>= 1) beats of 16 bytes from beat `offset` of the DMA window; traffic is a TrafficClass,
command the index of the command that asks for them."""

READ_BEAT = data.StructLayout({"data": 128, "route": Route, "last": 1})
"""One beat in descriptor order; `last` marks the last beat of a descriptor."""

WRITE_DESCRIPTOR = data.StructLayout(
    {"offset": 32, "beats": 28, "traffic": 3, "command": INDEX_BITS}
)
"""`beats` (>= 1) whole beats to write from beat `offset` of the DMA window on."""
