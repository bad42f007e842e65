# SPDX-License-Identifier: Apache-2.0
"""Base-2 exponential of a score: one unnormalised softmax probability per cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXP2_BITS, EXP2_TABLE, SCORE_FRACTION_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register

__all__ = ["MAXIMUM_BITS", "Exponent"]

MAXIMUM_BITS = 9
"""Bits of a running maximum, signed, an integer power of two in -128..128."""
_AMOUNT_LIMIT = 31
_TABLE_STYLE = {"rom_block": "logic", "rom_style": "distributed"}
"""A table in LUTs. Yosys takes the first; to it, "distributed" is RAM, which it does not make of a
table that nobody writes.
"""


class Exponent(wiring.Component):
    """o_probability = i_visible ? min(2^b - 1, round(2^(b + i_score/256 - i_maximum))) : 0.

    Members
    -------
    i_score: In, signed 16, 8 fraction bits.
    i_maximum: In, signed 9, integer; i_score <= 256 * i_maximum if visible.
    i_visible: In, 0 masks.
    o_probability: Out, unsigned b = probability_bits.

    Latency: `LATENCY` cycles. Throughput: one per cycle. No back-pressure.
    Rounding: half up of EXP2_TABLE[fraction] * 2^-shift, bit-exact to `numerics.probability`.
    """

    LATENCY = 5

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_score": In(signed(16)),
                "i_maximum": In(signed(MAXIMUM_BITS)),
                "i_visible": In(1),
                "o_probability": Out(unsigned(config.probability_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.config.probability_bits
        distance = Signal(17, reset_less=True)
        m.d.sync += distance.eq((self.i_maximum << SCORE_FRACTION_BITS) - self.i_score)

        m.submodules.table = table = Memory(
            shape=unsigned(EXP2_BITS + 1),
            depth=len(EXP2_TABLE),
            init=EXP2_TABLE,
            attrs=_TABLE_STYLE,
        )
        read = table.read_port()
        whole = delayed(m, distance[SCORE_FRACTION_BITS:], 1, "whole")
        mantissa = Signal(EXP2_BITS + 1, reset_less=True)
        amount = Signal(range(_AMOUNT_LIMIT + 1), reset_less=True)
        offset = EXP2_BITS - bits - 1  # the shift stops one bit short, the rounding bit
        m.d.comb += read.addr.eq(distance[:SCORE_FRACTION_BITS])
        m.d.sync += [
            mantissa.eq(read.data),
            amount.eq(Mux(whole > _AMOUNT_LIMIT - offset, _AMOUNT_LIMIT, whole + offset)),
        ]

        extended = Signal(bits + 2, reset_less=True)
        m.d.sync += extended.eq(mantissa >> amount)
        visible = delayed(m, self.i_visible, self.LATENCY - 1, "visible")
        rounded = Signal(bits + 2)
        m.d.comb += rounded.eq((extended + 1) >> 1)
        probability = payload_register(m, self.o_probability, "probability")
        with m.If(~visible):
            m.d.sync += probability.eq(0)
        with m.Elif(rounded[bits:].any()):
            m.d.sync += probability.eq((1 << bits) - 1)
        with m.Else():
            m.d.sync += probability.eq(rounded)
        return m
