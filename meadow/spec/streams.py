# SPDX-License-Identifier: Apache-2.0
"""Packed-weight streams: what one port reads for one MATMUL.

A matrix [N, K] is padded with zeros to slices of W output channels and tiles of W columns. Port p carries channels
p*W/P .. (p+1)*W/P - 1 of every slice. Its stream, in 16-byte beats, little-endian, bits least significant first:

    preamble                                      1 beat, PREAMBLE_FIELDS
    dictionary only: table                        entries * chunk bytes, zero-padded to a beat; entry i, weight j at i*chunk + j
    for each slice:
        header                                    W/P channels * 8 bytes, HEADER_FIELDS, zero-padded to a beat
        payload                                   tiles * W/P * W weights: tile by tile, row by row, column by column

Payload of `raw`: one signed byte per weight. Payload of `dictionary`: packets of PACKET_IDS table indices, each
`chunk` consecutive weights; a packet is a 2-bit mode and then PACKET_IDS indices of width[mode] bits; the slice's last
packet is followed by zero bits up to the next beat. The indices of a slice always fill whole packets.
"""

from __future__ import annotations

from enum import IntEnum

from meadow.spec.layout import BitField

__all__ = ["HEADER_BYTES", "HEADER_FIELDS", "PACKET_IDS", "PREAMBLE_FIELDS", "Codec"]

PACKET_IDS = 8
HEADER_BYTES = 8


class Codec(IntEnum):
    """Codec of a stream's payload."""

    RAW = 0
    DICTIONARY = 1


PREAMBLE_FIELDS = (
    BitField("codec", 8, "Codec"),
    BitField("chunk", 8, "dictionary: weights per index, 1 or 2"),
    BitField("width0", 8, "dictionary: index bits of mode 0, 0..12"),
    BitField("width1", 8, "dictionary: index bits of mode 1, 0..12"),
    BitField("width2", 8, "dictionary: index bits of mode 2, 0..12"),
    BitField("width3", 8, "dictionary: index bits of mode 3, 0..12"),
    BitField("entries", 16, "dictionary: table entries, 1..dictionary_entries"),
    BitField("weights", 32, "weights of this port in all slices, padding included"),
    BitField("checksum", 32, "CRC-32 (zlib) of all later bytes of the stream"),
)

HEADER_FIELDS = (
    BitField("bias", 32, "added to the accumulator", signed=True),
    BitField("multiplier", 16, "requantisation multiplier"),
    BitField("shift", 8, "requantisation shift, 1..47"),
    BitField("reserved", 8, "0"),
)
