# SPDX-License-Identifier: Apache-2.0
"""Which rows of a LOAD or STORE a port moves: an equal run of consecutive rows."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.payload import payload_register

__all__ = ["PortShares", "multiples", "run_rows", "times"]


def run_rows(rows: Value, ports: int) -> Value:
    """Rows of the first port: ceil(rows / ports), `ports` a power of two."""
    return (rows + (ports - 1)) >> (ports.bit_length() - 1)


def times(value: Value, port: int) -> Value:
    """value * port for a port below 4: a shift, or the sum of two, never a multiplier."""
    parts = [value << bit for bit in range(2) if port >> bit & 1]
    return sum(parts[1:], parts[0]) if parts else Const(0, len(value))


def multiples(m: Module, value: Value, ports: int, name: str) -> list[Value]:
    """value * p for every port p, one register later."""
    products: list[Value] = [Const(0, len(value))]
    for port in range(1, ports):
        product = Signal(len(value) + 2, name=f"{name}_{port}", reset_less=True)
        m.d.sync += product.eq(times(value, port))
        products.append(product)
    return products


class PortShares(wiring.Component):
    """first[p] = p * run, count[p] = run or what is left of `total` from there on, at least 0;
    `whole`: first[p] = 0, count[p] = total.

    Consecutive rows, because rows that follow each other in DRAM are then read or written as one
    descriptor, so that short rows still make long bursts. What is shared are rows, or beats of
    rows: then both numbers are multiples of a row's beats.

    Parameters
    ----------
    bits: of the numbers.
    ports: P, at most 4.

    Members
    -------
    total: In(unsigned bits), of all ports.
    run: In(unsigned bits), that of the first port: ceil(rows / P) rows, see `run_rows`. P times it
        is at least `total`, and (P - 1) times it fits the bits.
    whole: In(1), every port takes all.
    first: Out(unsigned bits) for each port; it may lie beyond the last one.
    count: Out(unsigned bits) for each port.

    Latency: FIRST_LATENCY cycle from `run` and `whole` to `first`, LATENCY to `count`, to which
    `total` takes one.
    """

    FIRST_LATENCY = 1
    LATENCY = 2

    def __init__(self, *, bits: int, ports: int) -> None:
        self._ports = ports
        super().__init__(
            {
                "total": In(bits),
                "run": In(bits),
                "whole": In(1),
                "first": Out(bits).array(ports),
                "count": Out(bits).array(ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        own = Signal.like(self.run)
        m.d.comb += own.eq(Mux(self.whole, 0, self.run))
        multiple_of = multiples(m, own, self._ports, "first")
        for port, (first, count) in enumerate(zip(self.first, self.count, strict=True)):
            multiple = multiple_of[port]
            left = self.total - first  # below 0 beyond the last row
            some = Mux(left < self.run, left, self.run)
            m.d.comb += first.eq(multiple)
            register = payload_register(m, count, f"count_register_{port}")
            m.d.sync += register.eq(Mux(self.whole, self.total, Mux(left < 0, 0, some)))
        return m
