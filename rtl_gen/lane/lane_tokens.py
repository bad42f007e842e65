# SPDX-License-Identifier: Apache-2.0
"""Tokens of a lane: how many lanes, divided by the heads of a token, without a divider."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Signal, Value

from meadow.spec.config import AcceleratorConfig

__all__ = ["divided_by_heads"]


def divided_by_heads(
    m: Module, lanes: Value | int, heads: Value, *, config: AcceleratorConfig, name: str
) -> Signal:
    """lanes div heads, for 0 <= lanes <= T and 1 <= heads <= T (0 for other heads); combinational,
    a constant table.

    With constant `lanes` each bit of the result is a function of `heads` alone: one LUT up to 63
    lanes.
    """
    bits = config.lanes.bit_length()
    quotient = Signal(bits, name=name)
    with m.Switch(heads):
        for divisor in range(1, config.lanes + 1):
            row = sum(lane // divisor << bits * lane for lane in range(config.lanes + 1))
            with m.Case(divisor):
                table = Const(row, bits * (config.lanes + 1))
                m.d.comb += quotient.eq(table.word_select(lanes, bits))
    return quotient
