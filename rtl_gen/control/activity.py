# SPDX-License-Identifier: Apache-2.0
"""What the chip is doing, bit by bit: the names of the bits of the top module's port `activity`."""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig

__all__ = ["activity_items"]

_SHARED = (
    "array_busy",
    "stall_tile",
    "stall_decoder",
    "stall_operand",
    "stall_drain",
    "stall_softmax",
    "stall_vector",
    "score_drain",
    "vector_busy",
    "loader_busy",
    "storer_busy",
)
_OF_A_PORT = ("decoder{}_tile", "decoder{}_parameter", "port{}_read", "port{}_write")


def activity_items(config: AcceleratorConfig) -> tuple[str, ...]:
    """Names of the bits of `activity` from bit 0 on; bit i is 1 in a cycle in which item i happens.

    array_busy, stall_*, vector_busy : as the counters of the same names (`meadow.spec.registers.COUNTERS`).
    score_drain : the array hands scores to the lanes' softmax, or sends them out.
    loader_busy, storer_busy : a LOAD or STORE is executed.
    decoder{p}_tile, decoder{p}_parameter : the decoder of port p writes to the tile or the parameter buffer.
    port{p}_read, port{p}_write : port p moves a beat of read or write data.

    All bits are registers; how many cycles late a bit is differs by a few. They serve the co-simulation's timeline and a
    logic analyser in the device (ILA) alike.
    """
    ports = (item.format(port) for port in range(config.ports) for item in _OF_A_PORT)
    return (*_SHARED, *ports)
