# SPDX-License-Identifier: Apache-2.0
"""What all codecs have in common: order of weights, preamble, checksum, headers, broken streams."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_tests.meadow.compiler.matrices import CONFIGS, KINDS, draw, linear
from hw_tests.meadow.golden.stream_text import HEADER, SMALL, TINY, finish, reseal
from meadow.compiler.packing.packing import pack_matrix
from meadow.golden.streams.decode import StreamError, read_preamble, stream_checksum, unpack_stream
from meadow.spec.streams import Codec


def raw(**changes: int) -> bytes:
    """One slice of one tile at W = 16."""
    body = HEADER * 16 + bytes(range(256))
    return finish(body, **{"codec": Codec.RAW, "weights": 256, **changes})


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


def test_checksum_covers_every_byte_and_the_preamble() -> None:
    stream = bytearray(raw())
    assert read_preamble(bytes(stream))["checksum"] == stream_checksum(bytes(stream))
    for place in range(len(stream)):
        stream[place] ^= 0x10
        with pytest.raises(StreamError, match="stream checksum is 0x"):
            unpack_stream(bytes(stream), 1, 1, TINY)
        stream[place] ^= 0x10


def test_checksum_field_counts_as_zero() -> None:
    assert stream_checksum(raw(checksum=0x12345678)) == read_preamble(raw())["checksum"]


def test_a_codec_that_the_configuration_does_not_have_is_refused() -> None:
    without = replace(TINY, codecs=("raw", "rice"))
    unpack_stream(raw(), 1, 1, without)
    with pytest.raises(StreamError, match=r"stream codec must be one of \[0, 2\], not 1"):
        unpack_stream(raw(codec=1), 1, 1, without)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "at least 16 bytes, not 0"),
        (raw() + b"x", "whole beats of 16 bytes, not 401 bytes"),
        (raw(reserved=1), "reserved bits of a preamble must be 0, not 0x1"),
        (raw(codec=3), "codec must be one of \\[0, 1, 2\\], not 3"),
        (raw(weights=255), "holds 255 weights, the command takes 256"),
        (reseal(raw()[:-16]), "raw stream must have 400 bytes, not 384"),
        (reseal(raw() + bytes(16)), "raw stream must have 400 bytes, not 416"),
    ],
)
def test_broken_rules_are_named(stream: bytes, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        unpack_stream(stream, 1, 1, TINY)


@pytest.mark.parametrize("shift", [0, 48])
def test_header_shifts_are_checked(shift: int) -> None:
    broken = bytearray(raw())
    broken[16 + 8 * 3 + 6] = shift
    with pytest.raises(StreamError, match=f"header shift must be in 1..47, not {shift}"):
        unpack_stream(reseal(broken), 1, 1, TINY)


def test_reserved_bits_of_a_header_are_checked() -> None:
    broken = bytearray(raw())
    broken[16 + 8 * 3 + 7] = 1
    with pytest.raises(StreamError, match="reserved bits and padding of a slice header must be 0"):
        unpack_stream(reseal(broken), 1, 1, TINY)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    codec=st.sampled_from(("raw", "dictionary", "rice")),
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_a_broken_stream_gives_an_error_and_never_another_exception(
    name: str, codec: str, kind: str, seed: int, data: st.DataObject
) -> None:
    """Bits changed, beats cut or added: an error of the checksum; with the right one, of another
    rule or none.
    """
    config = CONFIGS[name]
    slices, tiles = 2, data.draw(st.integers(1, 5))
    matrix = linear(draw(kind, (slices * config.width, tiles * config.width), seed), seed)
    stream = bytearray(pack_matrix(matrix, config, codec).streams[0])
    change = data.draw(st.sampled_from(("flip", "cut", "add")))
    if change == "flip":
        bits = st.integers(0, 8 * len(stream) - 1)
        for bit in data.draw(st.lists(bits, min_size=1, max_size=3, unique=True)):
            stream[bit >> 3] ^= 1 << (bit & 7)
    else:
        beats = data.draw(st.integers(1, len(stream) // 16 - 1))
        stream = stream[: -16 * beats] if change == "cut" else stream + stream[-16 * beats :]
    with pytest.raises(StreamError):
        unpack_stream(bytes(stream), slices, tiles, config)
    try:
        unpack_stream(reseal(stream), slices, tiles, config)
    except StreamError:
        return
    assert change == "flip"
