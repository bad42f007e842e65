# SPDX-License-Identifier: Apache-2.0
"""Which rows of a LOAD or STORE a port moves: an equal run of consecutive rows."""

from __future__ import annotations

from amaranth.hdl import Mux, Value

__all__ = ["first_row", "share"]


def _run(rows: Value, ports: int) -> Value:
    """Rows of the first port: ceil(rows / ports), `ports` a power of two."""
    return (rows + (ports - 1)) >> (ports.bit_length() - 1)


def first_row(rows: Value, ports: int, port: int) -> Value:
    """First row of a port: port * ceil(rows / ports); it may lie beyond the last one.

    Consecutive rows, because rows that follow each other in DRAM are then read or written as one
    descriptor, so that short rows still make long bursts.
    """
    return _run(rows, ports) * port


def share(rows: Value, ports: int, port: int) -> Value:
    """Rows of a port from `first_row` on: ceil(rows / ports) or what is left of them, at least
    0.
    """
    run = _run(rows, ports)
    left = rows - run * port
    return Mux(left <= 0, 0, Mux(left < run, left, run))
