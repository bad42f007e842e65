# SPDX-License-Identifier: Apache-2.0
"""Pipelined product of wide unsigned numbers from 16 x 16 bit multipliers."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.payload import payload_register

__all__ = ["Product"]

_CHUNK = 16


class Product(wiring.Component):
    """o = a * b, unsigned.

    Parameters
    ----------
    a_bits, b_bits: widths; at most four pairs of 16-bit chunks.

    Members
    -------
    i_a: In(unsigned a_bits).
    i_b: In(unsigned b_bits).
    o: Out(unsigned a_bits + b_bits).

    Latency: LATENCY cycles (input, product, product output, two of sums). Throughput: one product
    per cycle. Exact. Raises ValueError for more than four partial products.
    """

    LATENCY = 5

    def __init__(self, *, a_bits: int, b_bits: int) -> None:
        pairs = -(-a_bits // _CHUNK) * -(-b_bits // _CHUNK)
        if pairs > 4:
            raise ValueError(f"Product takes at most 4 partial products, not {pairs}")
        super().__init__({"i_a": In(a_bits), "i_b": In(b_bits), "o": Out(a_bits + b_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = Signal.like(self.i_a, reset_less=True)
        b = Signal.like(self.i_b, reset_less=True)
        m.d.sync += [a.eq(self.i_a), b.eq(self.i_b)]
        partial: list[Value] = []
        for a_low in range(0, len(a), _CHUNK):
            for b_low in range(0, len(b), _CHUNK):
                product = a[a_low : a_low + _CHUNK] * b[b_low : b_low + _CHUNK]
                first = Signal(product.shape(), reset_less=True)
                second = Signal(product.shape(), reset_less=True)
                m.d.sync += [first.eq(product), second.eq(first)]
                partial.append(second << (a_low + b_low))
        sums: list[Value] = []
        for low in range(0, len(partial), 2):
            pair = sum(partial[low + 1 : low + 2], partial[low])
            register = Signal(len(self.o), reset_less=True)
            m.d.sync += register.eq(pair)
            sums.append(register)
        m.d.sync += payload_register(m, self.o, "product").eq(sum(sums[1:], sums[0]))
        return m
