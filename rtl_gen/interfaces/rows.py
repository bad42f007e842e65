# SPDX-License-Identifier: Apache-2.0
"""Rows of a tile on their way through the lanes: in pairs, as multipliers take them."""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from meadow.spec.config import AcceleratorConfig

__all__ = ["PAIRED_ELEMENT", "row_sum_bits", "row_sums_layout", "rows_layout"]

PAIRED_ELEMENT = data.StructLayout({"low": signed(8), "high": signed(8), "odd": 1})
"""An element of two rows, w0 and w1, each within -127..127, as a multiplier takes both at once.

low: w1.
high: w0 - (w1 < 0). {high, low with its sign as k bits} is w0 * 2^k + w1 then, without an adder.
odd: the lowest bit of w0.
"""


def rows_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """R rows of W elements as R/2 pairs, the part of a tile that is broadcast in a cycle: pair p is
    w0 = row 2p, w1 = row 2p + 1.
    """
    return data.ArrayLayout(data.ArrayLayout(PAIRED_ELEMENT, config.width), config.rows // 2)


def row_sum_bits(config: AcceleratorConfig) -> int:
    """Bits of the signed sum of a row's W elements."""
    return 8 + (config.width - 1).bit_length()


def row_sums_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """The sums of R rows."""
    return data.ArrayLayout(signed(row_sum_bits(config)), config.rows)
