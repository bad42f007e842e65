# SPDX-License-Identifier: Apache-2.0
"""Reads and writes of the activation memory, seen from the unit that reads or writes."""

from __future__ import annotations

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.interfaces.command import INDEX_BITS

__all__ = [
    "ADDRESS_BITS",
    "READ_CLIENTS",
    "STRIDE_BITS",
    "WRITE_CLIENTS",
    "MemoryReadSignature",
    "MemoryWriteSignature",
    "memory_write_layout",
]

ADDRESS_BITS = 20
"""Bits of a word address in commands; the memory has the words that the low ones name."""
STRIDE_BITS = 12
"""Bits of a command's stride, in words, and of the words of a row."""
READ_CLIENTS = ("operand", "writer", "vector", "storer")
"""Read clients of the activation memory in order of priority."""
WRITE_CLIENTS = ("writer", "vector", "loader")
"""Write clients in order of priority."""


def memory_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word to write.

    address: word address.
    mask: bit j enables bytes 16*j .. 16*j+15.
    exponent: of the word, written if all bits of `mask` are 1.
    data: the W bytes, byte 0 in the low bits.
    """
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "mask": config.word_beats,
            "exponent": EXPONENT_BITS,
            "data": 8 * config.width,
        }
    )


class MemoryReadSignature(wiring.Signature):
    """How a unit reads the activation memory, seen from the unit.

    Members
    -------
    address: Out stream of ADDRESS_BITS, the word to read; ready, a register, when granted.
    command: Out(INDEX_BITS), index of the command that the address belongs to. 0 from a unit that
        works on one command at a time: the sequencer knows which.
    data: In stream of 8*W bits without back-pressure, the words in the order of their addresses,
        byte 0 in the low bits.
    exponent: In(EXPONENT_BITS), of the word, with `data`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.width = config.width
        super().__init__(
            {
                "address": Out(stream.Signature(ADDRESS_BITS)),
                "command": Out(INDEX_BITS),
                "data": In(stream.Signature(8 * config.width, always_ready=True)),
                "exponent": In(EXPONENT_BITS),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryReadSignature) and other.width == self.width


class MemoryWriteSignature(wiring.Signature):
    """How a unit writes the activation memory, seen from the unit.

    Members
    -------
    word: Out stream of memory_write_layout; ready when granted.
    command: Out(INDEX_BITS), index of the command that the word belongs to, or 0 as in
        MemoryReadSignature.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.width = config.width
        super().__init__(
            {
                "word": Out(stream.Signature(memory_write_layout(config))),
                "command": Out(INDEX_BITS),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryWriteSignature) and other.width == self.width
