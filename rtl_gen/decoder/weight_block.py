# SPDX-License-Identifier: Apache-2.0
"""Weight blocks on their way through the decoder: what of a stream goes to an unpacker, when, and
what comes back.
"""

from __future__ import annotations

from amaranth.lib import data

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import BLOCK_WEIGHTS, LITERAL, MAX_WIDTH, SUBSTREAMS, WORD_BYTES

__all__ = [
    "BLOCK_BITS",
    "BLOCK_BYTES",
    "INDEX_BITS",
    "ISSUE",
    "PRIME",
    "REFILLS",
    "ROW_ENTRIES",
    "WEIGHT_BLOCK",
    "WIDTHS",
    "table_write_layout",
]

BLOCK_BITS = 8 * BLOCK_WEIGHTS
"""Bits of the weights of a block, the first one lowest."""
REFILLS = SUBSTREAMS // 2
"""Sub-streams of one half of a rice group: the most refill words of a block."""
WIDTHS = 4
"""Most packets of a dictionary block; a mode each."""
BLOCK_BYTES = WORD_BYTES * (REFILLS + 1 + LITERAL)
"""Longest packed block: rice with all refill words, a mode word and literals. A dictionary block
has at most 36 bytes.
"""
INDEX_BITS = MAX_WIDTH
"""Widest index of a dictionary."""
ROW_ENTRIES = 4
"""Table entries of one memory row."""

ISSUE = data.StructLayout({"half": 1, "literal": 1})
"""A block is taken out of the byte window.

half: rice: which half of its group it is.
literal: rice: it has no quotients.
"""

WEIGHT_BLOCK = data.StructLayout(
    {
        "half": 1,
        "refill": REFILLS,
        "mode_word": 1,
        "widths": data.ArrayLayout(4, WIDTHS),
        "data": 8 * BLOCK_BYTES,
    }
)
"""A packed block of 32 weights.

half: rice: 0 the first, 1 the second block of a group.
refill: rice, bit i: the data begin with a word for sub-stream REFILLS*half + i.
mode_word: a mode word follows the refill words.
widths: dictionary: index bits of packet i; rice: widths[0] is k.
data: first byte lowest; what follows the block's own bytes is arbitrary.
"""

PRIME = data.StructLayout({"substream": range(SUBSTREAMS), "data": 8 * BEAT_BYTES})
"""A beat of the primer: the first words of one sub-stream."""


def table_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A row of a dictionary: ROW_ENTRIES entries of 16 bits; a chunk-1 entry is in the low byte of
    its 16 bits.
    """
    rows = config.dictionary_entries // ROW_ENTRIES
    return data.StructLayout({"row": range(rows), "data": 16 * ROW_ENTRIES})
