# SPDX-License-Identifier: Apache-2.0
"""Shifts by digits: every amount, and values of which one bit decides whether they fit."""

from __future__ import annotations

import random
from math import prod

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw_tests.seeds import salted
from hw_tests.streams import pipelined
from rtl_gen.blocks.shift_stages import passed, shift_digits, shifted_within

RADICES = [(4, 4, 3), (4, 3, 3), (4, 4, 2), (4, 4, 4), (2, 3)]


class Digits(wiring.Component):
    """The digits of `amount` side by side, two bits each."""

    def __init__(self, radices: tuple[int, ...]) -> None:
        self.radices = radices
        super().__init__({"amount": In(6), "o": Out(2 * len(radices))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for place, digit in enumerate(shift_digits(self.amount, self.radices)):
            m.d.sync += self.o.word_select(place, 2).eq(digit)
        return m


@pytest.mark.parametrize("radices", RADICES)
def test_digits_of_every_amount(radices: tuple[int, ...]) -> None:
    dut = Digits(radices)
    amounts = [{"amount": amount} for amount in range(64)]
    for amount, word in enumerate(pipelined(dut, amounts, lambda ctx: ctx.get(dut.o), latency=1)):
        number = 0
        for place, radix in enumerate(radices):
            digit = word >> 2 * place & 3
            assert digit < radix
            number = number * radix + digit
        assert number == min(amount, prod(radices) - 1)


class Shift(wiring.Component):
    """The window that all digits but the last `left` leave of i >> shift."""

    def __init__(self, *, in_bits: int, bits: int, radices: tuple[int, ...], left: int) -> None:
        self.bits, self.radices, self.left = bits, radices, left
        self.step = prod(radices[len(radices) - left :])
        self.LATENCY = len(radices) - left
        kept = bits - 1 + self.step - 1
        super().__init__(
            {
                "i": In(signed(in_bits)),
                "shift": In(6),
                "kept": Out(kept),
                "negative": Out(1),
                "beyond": Out(1),
                "never": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        digits = shift_digits(self.shift, self.radices)[: self.LATENCY]
        window = shifted_within(
            m, self.i, digits, radices=self.radices, bits=self.bits, name="shifted"
        )
        # All bits that are kept stay among them if so many are asked for.
        none = Signal(1)
        m.d.comb += [
            self.kept.eq(window.kept),
            self.negative.eq(window.negative),
            self.beyond.eq(window.beyond),
            self.never.eq(passed(window, none, 2, 1, len(window.kept))),
        ]
        return m


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize(("in_bits", "bits"), [(52, 17), (48, 16), (33, 9), (20, 16)])
@pytest.mark.parametrize("radices", RADICES)
def test_window(radices: tuple[int, ...], in_bits: int, bits: int, left: int) -> None:
    rng = random.Random(salted(in_bits))
    dut = Shift(in_bits=in_bits, bits=bits, radices=radices, left=left)
    half = 1 << (in_bits - 1)
    values = [0, -1, half - 1, -half]
    values += [1 << bit for bit in range(in_bits - 1)] + [~(1 << bit) for bit in range(in_bits - 1)]
    shifts = range(0, prod(radices))
    cases = [(value, shift) for shift in shifts for value in rng.sample(values, 40)]
    cases += [(rng.randrange(-half, half) >> rng.randrange(in_bits), s) for s in shifts]
    outputs = pipelined(
        dut,
        [{"i": value, "shift": shift} for value, shift in cases],
        lambda ctx: tuple(ctx.get(o) for o in (dut.kept, dut.negative, dut.beyond, dut.never)),
        latency=dut.LATENCY,
    )
    kept_bits = len(dut.kept)
    for (value, shift), (kept, negative, beyond, never) in zip(cases, outputs, strict=True):
        shifted = value >> (shift - shift % dut.step)
        assert kept == shifted & ((1 << kept_bits) - 1)
        assert negative == (value < 0)
        assert beyond == (not -(1 << kept_bits) <= shifted < 1 << kept_bits)
        assert never == 0
    assert {beyond for _, _, beyond, _ in outputs} == {0, 1} or in_bits - 1 <= kept_bits
