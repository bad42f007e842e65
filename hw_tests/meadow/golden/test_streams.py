# SPDX-License-Identifier: Apache-2.0
"""The unpacker against streams written here bit by bit from the text of `meadow.spec.streams`."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from meadow.golden.streams import StreamError, read_preamble, stream_checksum, unpack_stream
from meadow.spec.config import named_config
from meadow.spec.layout import pack_fields
from meadow.spec.streams import PACKET_IDS, PREAMBLE_FIELDS, Codec

TINY = named_config("tiny")  # W = 16, one port
SMALL = named_config("small")  # W = 32, two ports of 16 rows
HEADER = struct.pack("<iHBB", -5, 40000, 17, 0)


def finish(body: bytes, **fields: int) -> bytes:
    """Preamble with the right checksum in front of a body."""
    values = {"checksum": zlib.crc32(body), **fields}
    return pack_fields(PREAMBLE_FIELDS, values, "preamble").to_bytes(16, "little") + body


def packets(indices: list[int], modes: list[int], widths: list[int]) -> bytes:
    """Packets as one number, least significant bit first, zero-padded to a beat."""
    word, place = 0, 0
    for number, mode in enumerate(modes):
        word |= mode << place
        place += 2
        for index in indices[number * PACKET_IDS : (number + 1) * PACKET_IDS]:
            word |= index << place
            place += widths[mode]
    return word.to_bytes(-(-place // 128) * 16, "little")


def dictionary(**changes: int) -> bytes:
    """One slice of one tile at W = 16, chunk 2: 128 indices into three entries."""
    table = struct.pack("<6b", 1, -2, 3, -4, -127, 127) + bytes(10)
    indices = [0] * 64 + [1, 0, 1, 0, 0, 0, 1, 1] * 4 + [2, 1, 0, 2, 2, 2, 0, 1] * 4
    modes = [0] * 8 + [1] * 4 + [3, 3, 3, 2]
    body = table + HEADER * 16 + packets(indices, modes, [0, 1, 5, 2])
    fields = dict(codec=1, chunk=2, width0=0, width1=1, width2=5, width3=2, entries=3, weights=256)
    return finish(body, **{**fields, **changes})


def test_raw_rows_and_tiles_are_in_the_order_of_the_format() -> None:
    # Two slices of three tiles at W = 32, a port carries 16 rows: weight = slice, tile and row.
    slices, tiles, rows, width = 2, 3, SMALL.port_rows, SMALL.width
    body = b""
    for piece in range(slices):
        body += b"".join(struct.pack("<iHBB", 100 * piece + row, row, 9, 0) for row in range(rows))
        for tile in range(tiles):
            for row in range(rows):
                body += struct.pack(
                    f"<{width}b", *(piece * 60 + tile * 20 + row - 64 + c % 2 for c in range(width))
                )
    stream = finish(body, codec=Codec.RAW, weights=slices * tiles * rows * width)
    weights, headers = unpack_stream(stream, slices, tiles, SMALL)
    assert weights.shape == (slices, rows, tiles * width) and weights.dtype == np.int8
    for piece, row, column in np.ndindex(*weights.shape):
        expected = piece * 60 + column // width * 20 + row - 64 + column % 2
        assert weights[piece, row, column] == expected
    assert headers.bias.tolist() == [[100 * p + row for row in range(rows)] for p in range(slices)]
    assert (headers.multiplier == np.arange(rows)).all() and (headers.shift == 9).all()


def test_dictionary_packets_of_all_widths() -> None:
    weights, headers = unpack_stream(dictionary(), 1, 1, TINY)
    table = {0: [1, -2], 1: [3, -4], 2: [-127, 127]}
    indices = [0] * 64 + [1, 0, 1, 0, 0, 0, 1, 1] * 4 + [2, 1, 0, 2, 2, 2, 0, 1] * 4
    assert weights.reshape(-1).tolist() == [w for index in indices for w in table[index]]
    assert (headers.bias == -5).all() and (headers.multiplier == 40000).all()


def test_checksum_covers_every_byte_after_the_preamble() -> None:
    stream = bytearray(dictionary())
    assert read_preamble(bytes(stream))["checksum"] == stream_checksum(bytes(stream))
    for place in range(16, len(stream)):
        stream[place] ^= 0x10
        with pytest.raises(StreamError, match="stream checksum is 0x"):
            unpack_stream(bytes(stream), 1, 1, TINY)
        stream[place] ^= 0x10


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "at least 16 bytes, not 0"),
        (dictionary() + b"x", "whole beats of 16 bytes, not"),
        (dictionary(codec=7), "codec must be one of \\[0, 1\\], not 7"),
        (dictionary(chunk=3), "chunk must be 1 or 2 weights, not 3"),
        (dictionary(width2=13), "widths must be 0..12 bits, not \\[0, 1, 13, 2\\]"),
        (dictionary(entries=0), "entries must be 1..1024, not 0"),
        (dictionary(entries=1025), "entries must be 1..1024, not 1025"),
        (dictionary(entries=2), "index 2 is beyond 2 entries"),
        (dictionary(weights=255), "holds 255 weights, the command takes 256"),
        (dictionary(width0=12), "ends inside the packets of slice 0"),
        (dictionary(entries=1000), "table ends at byte"),
        (dictionary(codec=0), "raw stream must have"),
    ],
)
def test_broken_rules_are_named(stream: bytes, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        unpack_stream(stream, 1, 1, TINY)


def test_header_shift_and_padding_bits_are_checked() -> None:
    body = dictionary()[16:]
    fields = dict(codec=1, chunk=2, width1=1, width2=5, width3=2, entries=3, weights=256)
    for shift in (0, 48):
        broken = bytearray(body)
        broken[16 + 6] = shift
        with pytest.raises(StreamError, match=f"header shift must be in 1..47, not {shift}"):
            unpack_stream(finish(bytes(broken), **fields), 1, 1, TINY)
    with pytest.raises(StreamError, match="padding after slice 0 must be zero bits"):
        unpack_stream(finish(body[:-1] + b"\x80", **fields), 1, 1, TINY)
    with pytest.raises(StreamError, match="ends at byte"):
        unpack_stream(finish(body + bytes(16), **fields), 1, 1, TINY)
