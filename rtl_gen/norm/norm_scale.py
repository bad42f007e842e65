# SPDX-License-Identifier: Apache-2.0
"""Statistics of a row to the mean, factor and shift that normalise it."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import MAX_SHIFT
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.product import Product
from rtl_gen.blocks.shift_saturate import ShiftSaturate
from rtl_gen.interfaces.command import command_layout
from rtl_gen.norm.norm_statistics import statistics_layout
from rtl_gen.norm.rsqrt import VALUE_BITS, ReciprocalSquareRoot

__all__ = ["MEAN_BITS", "NORM_SCALE", "NormScale"]

MEAN_BITS = 25
"""Signed bits of 16 * mean. Any multiplier near 16/channels needs 21; the rest saturates instead of
wrapping.
"""

NORM_SCALE = data.StructLayout({"mean": signed(MEAN_BITS), "root": 16, "shift": 6})
"""What normalises a row: n = sat16(rounding_shift((16*x - mean) * root, shift))."""


class NormScale(wiring.Component):
    """V = channels*S2 - S1^2 + epsilon; mean = requantise(S1, mean_multiplier, mean_shift);
    (root, h) = rsqrt(V); shift = clamp(norm_shift + h, 1, 47); S1 is taken as 0 if `rms`.

    Parameters
    ----------
    config: norm_channels (widths of the statistics).

    Members
    -------
    command: In(command_layout(NORM)), stable while rows are on their way; 1 <= V < 2^62 is the
        compiler's promise.
    i: In stream of statistics_layout without back-pressure.
    o: Out stream of NORM_SCALE without back-pressure.

    Latency: LATENCY cycles. Throughput: one row per cycle. No back-pressure.
    Rounding: numerics.layer_norm_row, except that a mean beyond MEAN_BITS saturates there
    (numerics: 32 bits), which no mean_multiplier * 2^-mean_shift below 256/channels can reach.
    """

    LATENCY = 1 + Product.LATENCY + 2 + ReciprocalSquareRoot.LATENCY + 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.NORM)),
                "i": In(stream.Signature(statistics_layout(config), always_ready=True)),
                "o": Out(stream.Signature(NORM_SCALE, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command = self.command
        total_bits = len(self.i.payload.total)

        magnitude = Signal(total_bits, reset_less=True)
        negative = Signal(reset_less=True)
        total = Mux(command.rms, 0, self.i.payload.total)
        m.d.sync += [magnitude.eq(Mux(total < 0, -total, total)), negative.eq(total < 0)]

        m.submodules.spread = spread = Product(a_bits=len(self.i.payload.squares), b_bits=16)
        m.submodules.square = square = Product(a_bits=total_bits, b_bits=total_bits)
        m.d.comb += [
            spread.i_a.eq(delayed(m, self.i.payload.squares, 1, "squares")),
            spread.i_b.eq(command.channels),
            square.i_a.eq(magnitude),
            square.i_b.eq(magnitude),
        ]
        difference = Signal(VALUE_BITS, reset_less=True)
        value = Signal(VALUE_BITS, reset_less=True)
        m.d.sync += [
            difference.eq(spread.o - square.o),
            value.eq(difference + command.epsilon),
        ]
        m.submodules.rsqrt = rsqrt = ReciprocalSquareRoot()
        m.d.comb += rsqrt.value.eq(value)

        clamped = Signal(signed(10), reset_less=True)
        shift = Signal(6, reset_less=True)
        m.d.sync += [
            clamped.eq(command.norm_shift + rsqrt.half),
            shift.eq(Mux(clamped < 1, 1, Mux(clamped > MAX_SHIFT, MAX_SHIFT, clamped))),
        ]

        mean, mean_cycles = self._mean(m, magnitude, negative)
        m.d.comb += [
            self.o.payload.mean.eq(delayed(m, mean, self.LATENCY - mean_cycles, "mean")),
            self.o.payload.root.eq(delayed(m, rsqrt.root, 2, "root")),
            self.o.payload.shift.eq(shift),
        ]
        valid = delayed(m, self.i.valid, self.LATENCY, "valid", reset_less=False)
        m.d.comb += self.o.valid.eq(valid)
        return m

    def _mean(self, m: Module, magnitude: Value, negative: Value) -> tuple[Value, int]:
        """Mean and its latency from `i`."""
        m.submodules.mean = mean = Product(a_bits=len(magnitude), b_bits=16)
        m.d.comb += [mean.i_a.eq(magnitude), mean.i_b.eq(self.command.mean_multiplier)]
        sign = delayed(m, negative, Product.LATENCY, "sign")
        half = Signal(MAX_SHIFT, reset_less=True)
        bits = max(len(mean.o), MAX_SHIFT) + 2
        product = Signal(signed(bits), reset_less=True)
        rounded = Signal(signed(bits), reset_less=True)
        m.d.sync += [
            half.eq((Const(1, 1) << self.command.mean_shift) >> 1),
            product.eq(Mux(sign, -mean.o, mean.o)),
            rounded.eq(product + half),
        ]
        m.submodules.mean_shift = shifter = ShiftSaturate(
            in_bits=bits, bits=MEAN_BITS, radices=(4, 4, 3)
        )
        m.d.comb += [shifter.i.eq(rounded), shifter.shift.eq(self.command.mean_shift)]
        return shifter.o, 1 + Product.LATENCY + 2 + ShiftSaturate.LATENCY
