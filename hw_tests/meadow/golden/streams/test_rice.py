# SPDX-License-Identifier: Apache-2.0
"""Rice streams written here bit by bit from the text of `meadow.spec.streams`."""

from __future__ import annotations

import struct

import pytest

from hw_tests.meadow.golden.stream_text import HEADER, TINY, finish, reseal, words
from meadow.golden.streams.decode import StreamError, unpack_stream

FIELDS = dict(codec=2, width0=0, width1=3, width2=8, width3=6, weights=256)

# Four groups with the modes 0, 1, 2, 3; all eight runs of a group are alike but for the literals.
#   k = 0: z = 3, 0001 eight times: 32 bits, each sub-stream finishes its first word.
#   k = 3: z = 8 + i, quotient 1, 01 eight times; low bits 0..7.
#   literal: z = 192 .. 255.
#   k = 6: z = 3 * 64 + 5, then 63 - i: 0001 and seven times 1; low bits 5, 62, 61, ...
NUMBERS = [3] * 64 + list(range(8, 16)) * 8 + list(range(192, 256)) + [197, *range(62, 55, -1)] * 8
STRING = (0x88888888, 0x07F8AAAA, 0, 0)
LOW3 = int("76543210", 8).to_bytes(3, "little")
LOW6 = sum(low << 6 * i for i, low in enumerate([5, *range(62, 55, -1)])).to_bytes(6, "little")
MODES = 0b11_10_01_00


def tiny(
    string: tuple[int, ...] = STRING,
    number: int = 5,
    modes: int = MODES,
    refill: int = 0,
    tail: bytes = bytes(4),
    **changes: int,
) -> bytes:
    """One slice of one tile at W = 16; `string` is the primer of sub-stream `number`."""
    primer = [words(*(string if c == number else STRING)) for c in range(8)]
    # Group 0 has no raw words; before group 1 both steps refill four words that hold nothing.
    payload = struct.pack("<I", modes)
    payload += bytes(16) + LOW3 * 4 + struct.pack("<4I", 0, refill, 0, 0) + LOW3 * 4
    payload += bytes(range(192, 256))
    payload += LOW6 * 8 + tail
    return finish(b"".join(primer) + HEADER * 16 + payload, **{**FIELDS, **changes})


def weight(z: int) -> int:
    return z // 2 if z % 2 == 0 else -(z + 1) // 2


def test_a_group_of_every_kind() -> None:
    stream = tiny()
    assert len(stream) == 16 + 8 * 16 + 128 + 11 * 16
    weights, headers = unpack_stream(stream, 1, 1, TINY)
    assert weights.reshape(-1).tolist() == [weight(z) for z in NUMBERS]
    assert weights.min() == -128 and weights.max() == 127
    assert (headers.bias == -5).all() and (headers.shift == 17).all()


def full_run(number: int, group: int) -> tuple[int, list[int]]:
    """A run of 32 bits with k = 0: z = 24 at one place, 0 elsewhere; its word and its weights."""
    place = (number + group) % 8
    word = ((1 << place) - 1) | (((1 << 8 - place) - 1) << place + 24)
    return word, [12 if index == place else 0 for index in range(8)]


def test_refills_go_from_slice_to_slice_and_come_before_mode_words() -> None:
    """Two slices of 20 groups with runs of 32 bits: from group 1 on, every step has four
    refills.
    """
    groups = 40
    strings = [[full_run(c, g)[0] for g in range(groups)] + [0] * 4 for c in range(8)]
    body = b"".join(words(*string[:4]) for string in strings)
    for piece in range(2):
        payload = [0xAAAAAAAA]
        for group in range(20 * piece, 20 * piece + 20):
            refills = [string[group + 3] for string in strings] if group else []
            payload += refills[:4]
            payload += [0xAA] if group % 20 == 0 else []
            payload += refills[4:]
        body += HEADER * 16 + words(*payload)
    stream = finish(body, codec=2, width0=8, width1=8, width2=0, width3=6, weights=2 * 1280)
    weights, _ = unpack_stream(stream, 2, 5, TINY)
    order = weights.reshape(2, 16, 5, 16).transpose(0, 2, 1, 3).reshape(-1)
    expected = [w for g in range(groups) for c in range(8) for w in full_run(c, g)[1]]
    assert order.tolist() == expected


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(
    ("string", "message"),
    [
        # The first run's eighth one is missing: its 33rd bit is the next one.
        ((0x08888888, 0x07F8AAAB, 0, 0), "run 0 of sub-stream {} has not 8 codewords in 32 bits"),
        ((0, 0, 0, 0), "run 0 of sub-stream {} has not 8 codewords in 32 bits"),
        ((0x88888888, 0, 0xFFFFFFFF, 0), "run 1 of sub-stream {} has not 8 codewords in 32 bits"),
        ((0x88888888, 0x03F8AAAA, 0, 0), "run 2 of sub-stream {} has not 8 codewords in 32 bits"),
        ((0x88888888, 0x07F8AAAA, 0, 1 << 31), "padding of sub-stream {} must be zero"),
        ((0x88888888, 0x0FF8AAAA, 0, 0), "padding of sub-stream {} must be zero"),
        # Four zeros at k = 6.
        ((0x88888888, 0x0FF0AAAA, 0, 0), "number 256 is beyond 8 bits"),
    ],
)
def test_faults_of_a_substream_are_named(
    number: int, string: tuple[int, ...], message: str
) -> None:
    with pytest.raises(StreamError, match=message.format(number)):
        unpack_stream(tiny(string, number), 1, 1, TINY)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (tiny(width1=7), "parameters must be 0..6 or 8, not \\[0, 7, 8, 6\\]"),
        (tiny(width3=9), "parameters must be 0..6 or 8, not \\[0, 3, 8, 9\\]"),
        (tiny(fixed=1), "its fixed field must be 0"),
        (tiny(refill=1 << 20), "padding of sub-stream 5 must be zero"),
        (tiny(modes=MODES | 1 << 8), "modes after slice 0 must be zero"),
        (tiny(modes=MODES | 1 << 31), "modes after slice 0 must be zero"),
        (tiny(tail=b"\0\0\0\1"), "padding after slice 0 must be zero"),
        (tiny(tail=bytes(20)), "ends at byte 448, its length is 464"),
        (reseal(tiny()[:-16]), "ends inside the blocks of slice 0"),
        (reseal(tiny()[: 16 + 128 + 128]), "ends inside the blocks of slice 0"),
        (reseal(tiny()[: 16 + 128 + 112]), "ends inside the header of slice 0"),
        (reseal(tiny()[: 16 + 112]), "ends inside its primer"),
        (reseal(tiny()[:16]), "ends inside its primer"),
    ],
)
def test_broken_rules_are_named(stream: bytes, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        unpack_stream(stream, 1, 1, TINY)
