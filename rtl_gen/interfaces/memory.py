# SPDX-License-Identifier: Apache-2.0
"""Reads and writes of the activation memory."""

from __future__ import annotations

from amaranth.lib import data

from meadow.spec.config import AcceleratorConfig

__all__ = ["ADDRESS_BITS", "READ_CLIENTS", "memory_read_layout", "memory_write_layout"]

ADDRESS_BITS = 20
"""Bits of a word address in commands; the memory has the words that the low ones name."""


def memory_read_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word that was read; byte 0 in the low bits."""
    return data.StructLayout({"valid": 1, "data": 8 * config.width})


def memory_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word to write. Bit j of mask enables bytes 16*j .. 16*j+15."""
    return data.StructLayout(
        {"address": ADDRESS_BITS, "mask": config.word_beats, "data": 8 * config.width}
    )


READ_CLIENTS = ("operand", "writer", "vector", "storer")
"""Read clients of the activation memory in order of priority."""
