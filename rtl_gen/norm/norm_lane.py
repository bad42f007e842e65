# SPDX-License-Identifier: Apache-2.0
"""One element per cycle of the norm's second pass."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.shift_saturate import ShiftSaturate
from rtl_gen.norm.norm_scale import MEAN_BITS

__all__ = ["NormLane"]

_PRODUCT_BITS = 48
_OUTPUT_BITS = 35
_SHIFT_RADICES = (4, 4, 3)
_OUTPUT_RADICES = (4, 3, 3)
"""For shifts of 0..47 and 0..35."""


class NormLane(wiring.Component):
    """n = sat16(((16*x - mean) * root + half) >> shift); t = n*gain + offset*2^offset_shift;
    y = sat16((t + out_half) >> out_shift);
    wide = sat16((t + out_half + wide_change) >> wide_shift).

    half = 2^(shift-1) and out_half = 2^(out_shift-1) come in as numbers; both additions fit the
    multiplier's adder. wide_change = 2^(wide_shift-1) - out_half exchanges the rounding, so that
    both results share one multiplication.

    Members
    -------
    x: In(signed 16), the element.
    mean: In(signed MEAN_BITS), in the cycle of x.
    root: In(16), likewise.
    half: In(47), HALF_DELAY cycles after x; all lanes share this delay.
    shift: In(6), SHIFT_DELAY cycles after x, likewise.
    parameters: In({gain signed 16, offset signed 16}) of the element, PARAMETER_DELAY cycles after
        x.
    offset_shift: In(5), 0..16, constant while elements are under way.
    out_half: In(32), likewise.
    out_shift, wide_shift: In(6), 1..32, likewise.
    wide_change: In(signed 33), likewise.
    y: Out(signed 16).
    wide: Out(signed 16).

    Latency: LATENCY cycles from x to y, one more to wide. Throughput: one element per cycle.
    """

    HALF_DELAY = 2
    SHIFT_DELAY = 3
    PARAMETER_DELAY = 5
    LATENCY = 2 * (3 + ShiftSaturate.LATENCY) - 1

    def __init__(self) -> None:
        parameters = data.StructLayout({"gain": signed(16), "offset": signed(16)})
        super().__init__(
            {
                "x": In(signed(16)),
                "mean": In(signed(MEAN_BITS)),
                "root": In(16),
                "half": In(47),
                "shift": In(6),
                "parameters": In(parameters),
                "offset_shift": In(5),
                "out_half": In(32),
                "out_shift": In(6),
                "wide_change": In(signed(33)),
                "wide_shift": In(6),
                "y": Out(signed(16)),
                "wide": Out(signed(16)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        centre = Signal(signed(MEAN_BITS + 1), reset_less=True)
        root = Signal(16, reset_less=True)
        product = Signal(signed(MEAN_BITS + 1 + 17), reset_less=True)
        rounded = Signal(signed(_PRODUCT_BITS), reset_less=True)
        m.d.sync += [
            centre.eq((self.x << 4) - self.mean),
            root.eq(self.root),
            product.eq(centre * root),
            rounded.eq(product + self.half),
        ]
        m.submodules.normal = normal = ShiftSaturate(
            in_bits=_PRODUCT_BITS, bits=16, radices=_SHIFT_RADICES
        )
        m.d.comb += [normal.i.eq(rounded), normal.shift.eq(self.shift)]

        # The offset is shifted by 0..3, by 0..12, and by 4 more if by 16: in the LUTs of the adder
        # behind. Small steps come first, as they leave fewer bits.
        offset: Value = self.parameters.offset
        farthest = self.offset_shift[4]
        coarse = Signal(2, reset_less=True)
        m.d.sync += coarse.eq(self.offset_shift[2:4] | farthest.replicate(2))
        for low, digit in ((0, self.offset_shift[:2]), (2, coarse)):
            longest = 3 << low
            shifted = Signal(signed(len(offset) + longest), name=f"offset{low}", reset_less=True)
            with m.Switch(digit):
                for case in range(4):
                    with m.Case(case):
                        m.d.sync += shifted.eq(offset << (case << low))
            offset = shifted
        addend = Signal(signed(34), reset_less=True)
        scaled = Signal(signed(32), reset_less=True)
        total = Signal(signed(_OUTPUT_BITS), reset_less=True)
        m.d.sync += [
            addend.eq(self.out_half + Mux(farthest, offset << 4, offset)),
            scaled.eq(normal.o * delayed(m, self.parameters.gain, 2, "gain")),
            total.eq(scaled + addend),
        ]
        m.submodules.output = output = ShiftSaturate(
            in_bits=_OUTPUT_BITS, bits=16, radices=_OUTPUT_RADICES
        )
        m.d.comb += [
            output.i.eq(total),
            output.shift.eq(self.out_shift),
            self.y.eq(output.o),
        ]
        wide_total = Signal(signed(_OUTPUT_BITS), reset_less=True)
        m.d.sync += wide_total.eq(total + self.wide_change)
        m.submodules.wide = wide = ShiftSaturate(
            in_bits=_OUTPUT_BITS, bits=16, radices=_OUTPUT_RADICES
        )
        m.d.comb += [
            wide.i.eq(wide_total),
            wide.shift.eq(self.wide_shift),
            self.wide.eq(wide.o),
        ]
        return m
