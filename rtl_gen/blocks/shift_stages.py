# SPDX-License-Identifier: Apache-2.0
"""Stages of an arithmetic right shift of which only a few bits are wanted, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Signal, Value

from rtl_gen.blocks.delay import delayed

__all__ = ["Window", "shift_digits", "shifted_within", "_stage"]


class Window(NamedTuple):
    """The low bits of a signed number.

    kept: so many as are kept, without the sign.
    negative: the sign of the number.
    beyond: whether a bit above `kept` differs from the sign.
    """

    kept: Value
    negative: Value
    beyond: Value

    def differs(self, first: int, last: int) -> Value:
        """Whether a bit of `kept` from `first` to before `last` differs from the sign."""
        bits = self.kept[min(first, len(self.kept)) : last]
        return (bits ^ self.negative.replicate(len(bits))).any() if len(bits) else Const(0, 1)


def shift_digits(amount: Value, radices: Sequence[int]) -> list[Value]:
    """The digits of a number, most significant first, each of its own radix: a digit is a function
    of six bits at most where `amount` has six. An amount that has no such digits, the product of
    `radices` or more, has those of the largest that has.
    """
    numbers = range(1 << len(amount))
    largest = prod(radices) - 1
    digits: list[Value] = []
    for index, radix in enumerate(radices):
        place = prod(radices[index + 1 :])
        values = [min(number, largest) // place % radix for number in numbers]
        tables = [
            sum((value >> bit & 1) << number for number, value in enumerate(values))
            for bit in range((radix - 1).bit_length())
        ]
        digits.append(Cat(Const(table, len(numbers)).bit_select(amount, 1) for table in tables))
    return digits


def shifted_within(
    m: Module,
    value: Value,
    digits: Sequence[Value],
    *,
    radices: Sequence[int],
    bits: int,
    name: str,
) -> Window:
    """`value`, signed, shifted right by the first of the digits of an amount, one cycle for each.

    What is kept is what the digits that are left can move into the lowest `bits` bits, the sign not
    among them: the largest steps come first, so that each drops most of what is left. Without
    digits left the result fits in `bits` bits with its sign if `beyond` is 0.

    digits: the first ones of shift_digits, all in the cycle of `value`.
    radices: of all digits, from two to four: a bit is then one LUT6.
    """
    window = Window(value[:-1], value[-1], Const(0, 1))
    for stage, digit in enumerate(digits):
        place = prod(radices[stage + 1 :])
        window = _stage(
            m,
            window,
            delayed(m, digit, stage, f"{name}_digit{stage}"),
            radix=radices[stage],
            place=place,
            bits=bits - 1 + place - 1,
            name=f"{name}{stage}",
        )
    return window


def _stage(
    m: Module, window: Window, digit: Value, *, radix: int, place: int, bits: int, name: str
) -> Window:
    """`bits` bits of a window shifted right by place * digit, digit < radix, in the next cycle."""
    longest = (radix - 1) * place
    extended = Cat(window.kept, window.negative.replicate(longest + bits))
    kept = Signal(bits, name=f"{name}_kept", reset_less=True)
    with m.Switch(digit):
        for case in range(radix):
            with m.Default() if case == radix - 1 else m.Case(case):
                m.d.sync += kept.eq(extended[case * place : case * place + bits])
    beyond = Signal(name=f"{name}_beyond", reset_less=True)
    m.d.sync += beyond.eq(window.beyond | passed(window, digit, radix, place, bits))
    negative = delayed(m, window.negative, 1, f"{name}_negative")
    return Window(kept, negative, beyond)


def passed(window: Window, digit: Value, radix: int, place: int, bits: int) -> Value:
    """Whether, shifted by place * digit, a bit of the window above `bits` differs from the sign:
    each stretch of `place` bits is looked at once, for all digits that leave it there.
    """
    found: Value = Const(0, 1)
    for case in range(radix):
        first = bits + case * place
        last = first + place if case < radix - 1 else len(window.kept)
        found |= window.differs(first, last) & ((digit <= case) if case < radix - 1 else 1)
    return found
