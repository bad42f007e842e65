# SPDX-License-Identifier: Apache-2.0
"""Second half of a requantisation: arithmetic right shift and saturation."""

from __future__ import annotations

from math import prod

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.shift_stages import passed, shift_digits, shifted_within

__all__ = ["ShiftSaturate"]

_NARROW_BITS = 8
_CLAMP = 3
"""What takes the place of the last digit where the value does not fit."""


class ShiftSaturate(wiring.Component):
    """o = numerics.saturate(i >> shift, bits), or with `narrow` numerics.saturate(i >> shift, 8):
    to the full range of `bits`, or to -127..127.

    The rounding half, 2^(shift-1), is added before: where the multiplier's adder does it for
    nothing. Requantise rounds behind its shift because its multipliers have no adder left: it
    would need one of 52 bits in every lane, and a cycle more.

    Parameters
    ----------
    in_bits: width of the signed input.
    bits: width of the signed output, 9 or more and less than in_bits.
    radices: of the three digits of the shift, 2 to 4, the last one 2 or 3: a bit of the output is
        then one LUT6 that both shifts and saturates, with `narrow` if the last one is 2.

    Members
    -------
    i: In(signed in_bits).
    shift: In(6), less than the product of the radices.
    narrow: In(1), NARROW_DELAY cycles after i; several shifters share this delay.
    o: Out(signed bits).

    Latency: LATENCY cycles (two of shifting, one to see whether the rest of the shift leaves a
        value that fits, one for that shift and saturation). Throughput: one per cycle; shift may
        change.
    """

    NARROW_DELAY = 2
    LATENCY = NARROW_DELAY + 2

    def __init__(self, *, in_bits: int, bits: int, radices: tuple[int, int, int]) -> None:
        self._bits = bits
        self._radices = radices
        self.shifts = prod(radices)
        super().__init__(
            {
                "i": In(signed(in_bits)),
                "shift": In(6),
                "narrow": In(1),
                "o": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        radix = self._radices[-1]
        *first, last = shift_digits(self.shift, self._radices)
        window = shifted_within(
            m, self.i, first, radices=self._radices, bits=self._bits, name="shifted"
        )
        digit = delayed(m, last, len(first), "digit")

        # Whether what is left fits, in 8 bits and in `bits`; -128 is the one value that fits in 8
        # bits and saturates.
        narrow_bits = _NARROW_BITS - 1
        too_wide = window.beyond | passed(window, digit, radix, 1, self._bits - 1)
        not_narrow = window.beyond | passed(window, digit, radix, 1, narrow_bits)
        lowest = window.negative & ~(window.kept >> digit)[:narrow_bits].any()
        low_clamps = Mux(self.narrow, not_narrow | lowest, too_wide)
        low = Signal(2, reset_less=True)
        high = Signal(2, reset_less=True)
        m.d.sync += [
            low.eq(Mux(low_clamps, _CLAMP, digit)),
            high.eq(Mux(too_wide, _CLAMP, digit)),
        ]
        kept = delayed(m, window.kept, 1, "kept")
        negative = delayed(m, window.negative, 1, "negative")
        narrow = delayed(m, self.narrow, 1, "narrow")

        results: list[Value] = []
        for bit in range(self._bits - 1):
            clamped = ~negative
            choice = low if bit < narrow_bits else high
            if bit == 0:
                clamped |= narrow
            places = [kept[bit + min(case, radix - 1)] for case in range(_CLAMP)]
            result = Array([*places, clamped])[choice]
            # In 8 bits all bits above repeat the sign.
            results.append(result if bit < narrow_bits else Mux(narrow, negative, result))
        output = payload_register(m, self.o, "result")
        m.d.sync += output.eq(Cat(*results, negative).as_signed())
        return m
