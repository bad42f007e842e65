# SPDX-License-Identifier: Apache-2.0
"""Unpacking of the weight stream that one port reads for one MATMUL.

The format is `meadow.spec.streams`; every rule a decoder could check is checked here and named in a
`StreamError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from meadow.golden.streams.dictionary import unpack_dictionary
from meadow.golden.streams.parts import (
    HEADER_DTYPE,
    StreamError,
    StreamHeaders,
    StreamShape,
    check_preamble,
    read_headers,
    read_preamble,
    stream_checksum,
)
from meadow.golden.streams.rice import unpack_rice
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import Codec

__all__ = [
    "HEADER_DTYPE",
    "UNPACKERS",
    "StreamError",
    "StreamHeaders",
    "read_preamble",
    "stream_checksum",
    "unpack_stream",
]


def unpack_stream(
    stream: bytes | memoryview, slices: int, tiles: int, config: AcceleratorConfig
) -> tuple[np.ndarray, StreamHeaders]:
    """Weights int8 [slices, W/P, tiles*W] and headers of one port's stream.

    Row i of a slice is channel p*W/P + i of that slice for port p. StreamError names the broken
    rule: length, checksum, reserved bits, weight count, codec; widths, table size, an index beyond
    the table; a run without its codewords, a number beyond 8 bits; a shift out of range, padding
    that is not zero.
    """
    view = memoryview(stream)
    rows, width = config.port_rows, config.width
    shape = StreamShape(slices, config.header_beats * BEAT_BYTES, tiles * rows * width)
    fields = check_preamble(view, slices * shape.weights)
    present = [int(codec) for codec in Codec if config.has_codec(codec)]
    if fields["codec"] not in present:
        raise StreamError(f"stream codec must be one of {present}, not {fields['codec']}")
    payload, headers = UNPACKERS[Codec(fields["codec"])](view, fields, shape, config)
    weights = payload.reshape(slices, tiles, rows, width).transpose(0, 2, 1, 3)
    matrix = np.ascontiguousarray(weights).reshape(slices, rows, tiles * width)
    return matrix, read_headers(headers, config)


def _unpack_raw(
    view: memoryview, _fields: dict[str, int], shape: StreamShape, _config: AcceleratorConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Payload int8 [slices, weights] and headers uint8 [slices, bytes]."""
    pitch = shape.header_bytes + shape.weights
    expected = BEAT_BYTES + shape.slices * pitch
    if len(view) != expected:
        raise StreamError(f"raw stream must have {expected} bytes, not {len(view)}")
    body = np.frombuffer(view, np.uint8, offset=BEAT_BYTES).reshape(shape.slices, pitch)
    return body[:, shape.header_bytes :].view(np.int8), body[:, : shape.header_bytes]


_Unpack = Callable[
    [memoryview, dict[str, int], StreamShape, AcceleratorConfig], tuple[np.ndarray, np.ndarray]
]

UNPACKERS: Mapping[Codec, _Unpack] = {
    Codec.RAW: _unpack_raw,
    Codec.DICTIONARY: unpack_dictionary,
    Codec.RICE: unpack_rice,
}
"""By codec: whole stream, fields of its preamble, shape and configuration to the payload's weights
int8, slice after slice, and the slice headers uint8 [slices, bytes]."""
