# SPDX-License-Identifier: Apache-2.0
"""Dictionary streams written here bit by bit from the text of `meadow.spec.streams`."""

from __future__ import annotations

import struct

import pytest

from hw_tests.meadow.golden.stream_text import HEADER, SMALL, TINY, finish, reseal
from meadow.golden.streams.decode import StreamError, unpack_stream
from meadow.spec.config import AcceleratorConfig

HALVES = AcceleratorConfig(**{**TINY.to_dict(), "ports": 2})
TABLE = struct.pack("<6b", 1, -2, 3, -4, -127, 127) + bytes(10)
INDICES = [0] * 64 + [1, 0, 1, 0, 0, 0, 1, 1] * 4 + [2, 1, 0, 2, 2, 2, 0, 1] * 4
WEIGHTS = [w for index in INDICES for w in ([1, -2], [3, -4], [-127, 127])[index]]
# Eight packets without index bits, four of one bit, three of five and one of two.
MODES = 0b10_11_11_11_01_01_01_01 << 16
FIVES = sum(index << 5 * place for place, index in enumerate(INDICES[-8:])).to_bytes(5, "little")
PACKETS = b"\xc5" * 4 + FIVES * 3 + b"\x86\x4a"


def dictionary(packets: bytes = PACKETS, table: bytes = TABLE, **changes: int) -> bytes:
    """One slice of one tile at W = 16, chunk 2: 128 indices into three entries."""
    payload = MODES.to_bytes(4, "little") + packets
    body = table + HEADER * 16 + payload + bytes(-len(payload) % 16)
    fields = dict(codec=1, chunk=2, width0=0, width1=1, width2=2, width3=5, entries=3, weights=256)
    return finish(body, **{**fields, **changes})


def test_packets_of_all_widths() -> None:
    weights, headers = unpack_stream(dictionary(), 1, 1, TINY)
    assert weights.reshape(-1).tolist() == WEIGHTS
    assert (headers.bias == -5).all() and (headers.multiplier == 40000).all()


def test_fixed_streams_have_no_mode_words() -> None:
    packed = sum(index << 12 * place for place, index in enumerate(INDICES)).to_bytes(192, "little")
    fields = dict(codec=1, chunk=2, width0=12, fixed=1, entries=3, weights=256)
    stream = finish(TABLE + HEADER * 16 + packed, **fields)
    assert unpack_stream(stream, 1, 1, TINY)[0].reshape(-1).tolist() == WEIGHTS
    with pytest.raises(StreamError, match="ends at byte 336, its length is 352"):
        unpack_stream(reseal(stream, width0=11), 1, 1, TINY)


def mode_words_ahead() -> bytes:
    """Two slices of 2 * 512 weights at W = 32, chunk 1: 128 packets, 8 mode words in a slice.

    Packet p of a slice has mode p // 16 % 4 and only index p % 2; widths 1, 2, 3, 8.
    """
    modes = [(0x55555555 * (word % 4)).to_bytes(4, "little") for word in range(8)]
    payload = modes[0]
    for word in range(8):
        width = (1, 2, 3, 8)[word % 4]
        payload += modes[word + 1] if word < 7 else b""
        ones = sum(1 << width * place for place in range(8)).to_bytes(width, "little")
        payload += (bytes(width) + ones) * 8
    body = (
        struct.pack("<2b", 7, -9)
        + bytes(14)
        + (HEADER * 16 + payload + bytes(-len(payload) % 16)) * 2
    )
    fields = dict(width0=1, width1=2, width2=3, width3=8, entries=2, weights=2048)
    return finish(body, codec=1, chunk=1, **fields)


def test_a_mode_word_is_in_front_of_the_packets_of_the_word_before() -> None:
    weights, _ = unpack_stream(mode_words_ahead(), 2, 2, SMALL)
    tiles = weights.reshape(2, 16, 2, 32).transpose(0, 2, 1, 3).reshape(-1)
    assert tiles.tolist() == ([7] * 8 + [-9] * 8) * 128


def unaligned(last: bytes) -> bytes:
    """One slice of 640 weights at W = 16 with two ports, chunk 1: 80 packets, five mode words.

    Packet 15 has one byte of ones, packet 79 the three bytes of `last`, all others none.
    """
    modes = [0b01 << 30, 0, 0, 0, 0b11 << 30]
    payload = struct.pack("<2I", *modes[:2]) + b"\xff"
    payload += struct.pack("<3I", *modes[2:]) + last
    body = struct.pack("<3b", 5, 6, 7) + bytes(13) + HEADER * 8
    body += payload + bytes(-len(payload) % 16)
    return finish(body, codec=1, chunk=1, width1=1, width3=3, entries=3, weights=640)


def test_words_and_packets_need_not_be_aligned() -> None:
    twos = sum(2 << 3 * place for place in range(8)).to_bytes(3, "little")
    weights, _ = unpack_stream(unaligned(twos), 1, 5, HALVES)
    order = weights.reshape(8, 5, 16).transpose(1, 0, 2).reshape(-1)
    assert order.tolist() == [5] * 120 + [6] * 8 + [5] * 504 + [7] * 8
    with pytest.raises(StreamError, match="index 5 is beyond 3 entries"):
        unpack_stream(unaligned(b"\xaa" * 3), 1, 5, HALVES)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (dictionary(chunk=0), "chunk must be 1 or 2 weights, not 0"),
        (dictionary(chunk=3), "chunk must be 1 or 2 weights, not 3"),
        (
            dictionary(width2=13),
            "widths must be 0..12 bits for a chunk of 2, not \\[0, 1, 13, 5\\]",
        ),
        (
            dictionary(chunk=1, width3=9),
            "widths must be 0..8 bits for a chunk of 1, not \\[0, 1, 2, 9\\]",
        ),
        (dictionary(entries=0), "entries must be 1..1024, not 0"),
        (dictionary(entries=1025), "entries must be 1..1024, not 1025"),
        (dictionary(chunk=1, entries=257), "entries must be 1..256, not 257"),
        (dictionary(entries=2, table=TABLE[:4] + bytes(12)), "index 2 is beyond 2 entries"),
        (dictionary(entries=1000), "table ends at byte 2016 of"),
        (dictionary(table=TABLE[:-1] + b"\x01"), "padding after the table must be zero"),
        (dictionary(width0=12), "ends inside the packets of slice 0"),
        (dictionary(packets=PACKETS + b"\x01"), "padding after slice 0 must be zero"),
        (dictionary(packets=PACKETS + bytes(16)), "ends at byte 192, its length is 208"),
        (reseal(dictionary()[:48]), "ends inside the header of slice 0"),
        (reseal(dictionary()[:160]), "ends inside the packets of slice 0"),
    ],
)
def test_broken_rules_are_named(stream: bytes, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        unpack_stream(stream, 1, 1, TINY)


def test_modes_of_no_packet_are_zero() -> None:
    """A slice with 8 packets: 128 weights at W = 16 and two ports, chunk 2."""
    body = TABLE + HEADER * 8
    fields = dict(codec=1, chunk=2, entries=3, weights=128)
    good = finish(body + bytes(16), **fields)
    assert (unpack_stream(good, 1, 1, HALVES)[0].reshape(-1, 2) == [1, -2]).all()
    wrong = finish(body + (1 << 16).to_bytes(16, "little"), **fields)
    with pytest.raises(StreamError, match="modes after slice 0 must be zero"):
        unpack_stream(wrong, 1, 1, HALVES)
