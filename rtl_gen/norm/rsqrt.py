# SPDX-License-Identifier: Apache-2.0
"""Reciprocal square root by table and one Newton step."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.numerics import NEWTON_TABLE
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.product import Product

__all__ = ["VALUE_BITS", "ReciprocalSquareRoot"]

VALUE_BITS = 62
_ALIGNED_BITS = 32
_TABLE_OFFSET = 128
_TABLE_CYCLES = 2


class ReciprocalSquareRoot(wiring.Component):
    """(r, h) = numerics.rsqrt(value): 1/sqrt(value) ~ r * 2^(-15-h).

    Members
    -------
    value: In(62), 1 <= value < 2^62.
    root: Out(16), r.
    half: Out(5), h.

    Latency: LATENCY cycles. Throughput: one per cycle. Rounding: truncations and round half up of
        numerics.rsqrt.
    """

    LATENCY = 5 + _TABLE_CYCLES + 3 * Product.LATENCY + 3

    def __init__(self) -> None:
        super().__init__({"value": In(VALUE_BITS), "root": Out(16), "half": Out(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Shift left by pairs of bits until the top pair is not zero; the top 32 bits are then v.
        value: Value = self.value
        pairs: Value = Const(VALUE_BITS // 2, 5)
        for count in (16, 8, 4, 2, 1):
            empty = ~value[VALUE_BITS - 2 * count :].any()
            shifted = Signal(VALUE_BITS, name=f"shifted{count}", reset_less=True)
            left = Signal(5, name=f"pairs{count}", reset_less=True)
            m.d.sync += [
                shifted.eq(Mux(empty, value << (2 * count), value)),
                left.eq(pairs - Mux(empty, count, 0)),
            ]
            value, pairs = shifted, left
        aligned = value[VALUE_BITS - _ALIGNED_BITS :]

        m.submodules.table = table = Memory(
            shape=16,
            depth=512,
            init=[0] * _TABLE_OFFSET + list(NEWTON_TABLE),
            attrs={"rom_style": "block"},
        )
        port = table.read_port()
        m.d.comb += port.addr.eq(aligned[23:])
        guess = delayed(m, port.data, _TABLE_CYCLES - 1, "guess")

        m.submodules.square = square = Product(a_bits=16, b_bits=16)
        m.d.comb += [square.i_a.eq(guess), square.i_b.eq(guess)]
        m.submodules.correct = correct = Product(a_bits=32, b_bits=20)
        m.d.comb += [
            correct.i_a.eq(square.o),
            correct.i_b.eq(delayed(m, aligned[12:], _TABLE_CYCLES + Product.LATENCY, "mantissa")),
        ]
        factor = Signal(19, reset_less=True)
        m.d.sync += factor.eq(3 * 2**17 - (correct.o >> 33))
        m.submodules.newton = newton = Product(a_bits=16, b_bits=19)
        m.d.comb += [
            newton.i_a.eq(delayed(m, guess, 2 * Product.LATENCY + 1, "first_guess")),
            newton.i_b.eq(factor),
        ]
        rounded = Signal(18, reset_less=True)
        root = payload_register(m, self.root, "root_register")
        m.d.sync += [
            rounded.eq((newton.o + 2**17) >> 18),
            root.eq(Mux(rounded[16:].any(), 0xFFFF, rounded[:16])),
        ]
        m.d.comb += self.half.eq(delayed(m, pairs, self.LATENCY - 5, "half"))
        return m
