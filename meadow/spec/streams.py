# SPDX-License-Identifier: Apache-2.0
"""Packed-weight streams: what one port reads for one MATMUL.

A matrix [N, K] is padded with zeros to slices of W output channels and tiles of W columns. Port p
carries channels p*W/P .. (p+1)*W/P - 1 of every slice. Its stream, in 16-byte beats, little-endian,
bits least significant first:

    preamble                  1 beat, PREAMBLE_FIELDS
    dictionary only: table    entries * chunk bytes, zero-padded to a beat; entry i, weight j at
        i*chunk + j
    rice only: primer         SUBSTREAMS beats: beat c holds the first PRIMER_WORDS words of
        sub-stream c
    for each slice:
        header                W/P channels * 8 bytes, HEADER_FIELDS, zero-padded to a beat
        payload               tiles * W/P * W weights: tile by tile, row by row, column by column;
        zero-padded to a beat

`raw`: one signed byte per weight.

A weight is within -LIMIT_INT8..LIMIT_INT8, and so is an element of K and V. A codec can hold -128
all the same, and unpacking gives it back; what is multiplied is -127 in its place.

The payload of the other codecs is a sequence of *blocks* of BLOCK_WEIGHTS weights, without gaps.
Weights come in groups with a 2-bit mode each: the mode names one of the four widths of the
preamble. The modes of MODES_PER_WORD groups are a 32-bit word, first group lowest, 0 for groups
that the slice does not have. A payload begins with the mode word of its first groups; the next mode
word, if the slice has groups left for it, is in the first block of the groups of the word before.
With `fixed` there are no mode words: every group has mode 0.

`dictionary` (MEADOW's packing): a group is a packet of PACKET_IDS indices of width[mode] bits (with
a chunk of 1 at most 8), each index `chunk` consecutive weights. A block is the next mode word if it
is due, then its 32 / (chunk * PACKET_IDS) packets.

`rice`: a group is two blocks. A weight w is the number z = 2*w for w >= 0, else -2*w - 1; its
quotient z >> k, k = width[mode], is that many zeros and a one in a sub-stream; its k low bits are
raw. Weights 8*c .. 8*c+7 of the group are of sub-stream c, so that a group's first block has those
of sub-streams 0..3, its second those of 4..7. The 8 codewords are at most 32 bits together, and k
is at most 6; or k = LITERAL: no quotients, raw bytes of z. A block is, in this order:

    refill    the next word of each sub-stream of the block that has, since its last block,
              finished a word (in the order of the sub-streams, across slices): a decoder holds
              PRIMER_WORDS words of a sub-stream at any time
    mode      the next mode word, if due
    raw       k words: the low bits of the 32 weights, k bits each, first weight lowest

A sub-stream is one bit string for the whole matrix; its last word is padded with zeros, and words
beyond are zero.
"""

from __future__ import annotations

from enum import IntEnum

from meadow.spec.layout import BitField

__all__ = [
    "CODEC_NAMES",
    "GROUP_WEIGHTS",
    "HEADER_BYTES",
    "HEADER_FIELDS",
    "LITERAL",
    "MAX_QUOTIENT_BITS",
    "MAX_WIDTH",
    "MODES_PER_WORD",
    "MODE_BITS",
    "PACKET_IDS",
    "PREAMBLE_FIELDS",
    "PRIMER_WORDS",
    "RUN_BITS",
    "RUN_WEIGHTS",
    "BLOCK_WEIGHTS",
    "SUBSTREAMS",
    "WORD_BYTES",
    "Codec",
]

HEADER_BYTES = 8
BLOCK_WEIGHTS = 32
WORD_BYTES = 4
MODE_BITS = 2
MODES_PER_WORD = 16

PACKET_IDS = 8
MAX_WIDTH = 12
"""Widest index of a dictionary; with a chunk of 1 there are at most 256 entries, so 8 bits do."""

SUBSTREAMS = 8
RUN_WEIGHTS = 8
"""Weights of a sub-stream in one group."""
RUN_BITS = 32
"""Most bits of their codewords together."""
GROUP_WEIGHTS = SUBSTREAMS * RUN_WEIGHTS
PRIMER_WORDS = 4
MAX_QUOTIENT_BITS = 6
"""Largest k of a group with quotients."""
LITERAL = 8


class Codec(IntEnum):
    """Codec of a stream's payload."""

    RAW = 0
    DICTIONARY = 1
    RICE = 2


CODEC_NAMES = tuple(codec.name.lower() for codec in Codec)
"""As commands, reports and documents name them."""


PREAMBLE_FIELDS = (
    BitField("codec", 8, "Codec"),
    BitField("chunk", 8, "dictionary: weights per index, 1 or 2"),
    BitField(
        "width0", 4, "dictionary: index bits of mode 0, 0..min(12, 8*chunk); rice: k, 0..6 or 8"
    ),
    BitField("width1", 4, "of mode 1"),
    BitField("width2", 4, "of mode 2"),
    BitField("width3", 4, "of mode 3"),
    BitField("fixed", 1, "dictionary: 1 without mode words, every packet has width0; rice: 0"),
    BitField("reserved", 15, "0"),
    BitField("entries", 16, "dictionary: table entries, 1..min(dictionary_entries, 256**chunk)"),
    BitField("weights", 32, "weights of this port in all slices, padding included"),
    BitField("checksum", 32, "CRC-32 (zlib) of the whole stream with this field 0"),
)

HEADER_FIELDS = (
    BitField("bias", 32, "added to the accumulator", signed=True),
    BitField("multiplier", 16, "requantisation multiplier"),
    BitField("shift", 8, "requantisation shift, 1..47"),
    BitField("reserved", 8, "0"),
)
