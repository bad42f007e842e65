# SPDX-License-Identifier: Apache-2.0
"""Registered tree of adders."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value

__all__ = ["adder_tree"]


def adder_tree(m: Module, terms: list[Value]) -> Value:
    """Exact sum of 2^n terms of one cycle, n cycles later: one register per level."""
    while len(terms) > 1:
        sums: list[Value] = []
        for left, right in zip(terms[0::2], terms[1::2], strict=True):
            pair = left + right
            register = Signal(pair.shape(), reset_less=True)
            m.d.sync += register.eq(pair)
            sums.append(register)
        terms = sums
    return terms[0]
