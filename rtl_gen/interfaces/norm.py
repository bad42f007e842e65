# SPDX-License-Identifier: Apache-2.0
"""Writes into the parameter memory of the norm unit."""

from __future__ import annotations

from amaranth.lib import data

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.memory import ADDRESS_BITS

__all__ = ["norm_write_layout"]


def norm_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A W-byte word of parameters: channel c of the memory at byte 4*c, {int16 gain, int16 offset}
    little endian.
    """
    return data.StructLayout({"address": ADDRESS_BITS, "data": 8 * config.width})
