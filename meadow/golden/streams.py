# SPDX-License-Identifier: Apache-2.0
"""Unpacking of the weight stream that one port reads for one MATMUL.

The format is `meadow.spec.streams`; every rule a decoder could check is checked here and named in a
`StreamError`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.layout import unpack_fields
from meadow.spec.numerics import MAX_SHIFT
from meadow.spec.streams import HEADER_BYTES, PACKET_IDS, PREAMBLE_FIELDS, Codec

__all__ = [
    "HEADER_DTYPE",
    "StreamError",
    "StreamHeaders",
    "read_preamble",
    "stream_checksum",
    "unpack_stream",
]

HEADER_DTYPE = np.dtype(
    [("bias", "<i4"), ("multiplier", "<u2"), ("shift", "u1"), ("reserved", "u1")]
)
"""`meadow.spec.streams.HEADER_FIELDS` as the NumPy record of one channel."""

_MODE_BITS = 2
_MAX_WIDTH = 12


class StreamError(ValueError):
    """A stream breaks a rule of its format."""


@dataclass(frozen=True)
class StreamHeaders:
    """Requantisation parameters of one port's channels.

    bias int32 [slices, W/P]; multiplier uint16 [slices, W/P]; shift uint8 [slices, W/P].
    """

    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray


def stream_checksum(stream: bytes | memoryview) -> int:
    """CRC-32 over everything after the preamble, as its `checksum` field holds it."""
    return zlib.crc32(memoryview(stream)[BEAT_BYTES:])


def read_preamble(stream: bytes | memoryview) -> dict[str, int]:
    """Fields of the preamble by name; StreamError if the stream is shorter than one."""
    if len(stream) < BEAT_BYTES:
        raise StreamError(f"a stream has at least {BEAT_BYTES} bytes, not {len(stream)}")
    return unpack_fields(PREAMBLE_FIELDS, int.from_bytes(stream[:BEAT_BYTES], "little"))


def unpack_stream(
    stream: bytes | memoryview, slices: int, tiles: int, config: AcceleratorConfig
) -> tuple[np.ndarray, StreamHeaders]:
    """Weights int8 [slices, W/P, tiles*W] and headers of one port's stream.

    Row i of a slice is channel p*W/P + i of that slice for port p. StreamError names the broken
    rule: length, codec, checksum, weight count, widths, table size, an index beyond the table, a
    shift out of range, non-zero padding.
    """
    view = memoryview(stream)
    fields = read_preamble(view)
    rows, width = config.port_rows, config.width
    if len(view) % BEAT_BYTES:
        raise StreamError(f"a stream is whole beats of {BEAT_BYTES} bytes, not {len(view)} bytes")
    checksum = stream_checksum(view)
    if checksum != fields["checksum"]:
        raise StreamError(
            f"stream checksum is {checksum:#010x}, its preamble says {fields['checksum']:#010x}"
        )
    expected = slices * tiles * rows * width
    if fields["weights"] != expected:
        raise StreamError(f"stream holds {fields['weights']} weights, the command takes {expected}")
    if fields["codec"] == Codec.RAW:
        payload, headers = _raw(view, slices, tiles, config)
    elif fields["codec"] == Codec.DICTIONARY:
        payload, headers = _dictionary(view, fields, slices, tiles, config)
    else:
        raise StreamError(
            f"stream codec must be one of {[int(c) for c in Codec]}, not {fields['codec']}"
        )
    weights = payload.reshape(slices, tiles, rows, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(weights.reshape(slices, rows, tiles * width)), headers


def _raw(
    view: memoryview, slices: int, tiles: int, config: AcceleratorConfig
) -> tuple[np.ndarray, StreamHeaders]:
    header_bytes = config.header_beats * BEAT_BYTES
    payload_bytes = tiles * config.port_rows * config.width
    pitch = header_bytes + -(-payload_bytes // BEAT_BYTES) * BEAT_BYTES
    if len(view) != BEAT_BYTES + slices * pitch:
        raise StreamError(
            f"raw stream must have {BEAT_BYTES + slices * pitch} bytes, not {len(view)}"
        )
    body = np.frombuffer(view, np.uint8, offset=BEAT_BYTES).reshape(slices, pitch)
    payload = body[:, header_bytes : header_bytes + payload_bytes].view(np.int8)
    return payload, _headers(body[:, :header_bytes], config)


def _dictionary(
    view: memoryview, fields: dict[str, int], slices: int, tiles: int, config: AcceleratorConfig
) -> tuple[np.ndarray, StreamHeaders]:
    chunk, entries = fields["chunk"], fields["entries"]
    widths = [fields[f"width{mode}"] for mode in range(1 << _MODE_BITS)]
    if chunk not in (1, 2):
        raise StreamError(f"dictionary chunk must be 1 or 2 weights, not {chunk}")
    if max(widths) > _MAX_WIDTH:
        raise StreamError(f"dictionary widths must be 0..{_MAX_WIDTH} bits, not {widths}")
    if not 1 <= entries <= config.dictionary_entries:
        raise StreamError(
            f"dictionary entries must be 1..{config.dictionary_entries}, not {entries}"
        )
    table_end = BEAT_BYTES + _beats(entries * chunk) * BEAT_BYTES
    if table_end > len(view):
        raise StreamError(f"dictionary table ends at byte {table_end} of {len(view)}")
    table = np.frombuffer(view, np.int8, entries * chunk, BEAT_BYTES).reshape(entries, chunk)
    packets = tiles * config.port_rows * config.width // (chunk * PACKET_IDS)
    header_bytes = config.header_beats * BEAT_BYTES
    heads, starts, position = [], [], table_end
    for index in range(slices):
        if position + header_bytes > len(view):
            raise StreamError(f"dictionary stream ends inside the header of slice {index}")
        heads.append(position)
        position = _walk(view, position + header_bytes, packets, widths, starts, index)
    if position != len(view):
        raise StreamError(f"dictionary stream ends at byte {position}, its length is {len(view)}")
    data = np.concatenate([np.frombuffer(view, np.uint8), np.zeros(4, np.uint8)])
    indices = _indices(data, np.array(starts, np.int64), np.array(widths, np.int64))
    if indices.size and int(indices.max()) >= entries:
        raise StreamError(f"dictionary index {int(indices.max())} is beyond {entries} entries")
    header_rows = data[np.array(heads)[:, None] + np.arange(header_bytes)]
    return table[indices.reshape(-1)], _headers(header_rows, config)


def _walk(
    view: memoryview, start: int, packets: int, widths: list[int], starts: list[int], index: int
) -> int:
    """Append the bit position of every packet of a slice; return the byte after the slice.

    Packets follow each other and have even lengths from a beat on, so a mode never crosses a byte.
    """
    lengths = [_MODE_BITS + PACKET_IDS * width for width in widths]
    position, append = start * 8, starts.append
    try:
        for _ in range(packets):
            append(position)
            position += lengths[(view[position >> 3] >> (position & 7)) & 3]
    except IndexError:
        position = 8 * len(view) + 1
    end = -(-position // (8 * BEAT_BYTES)) * BEAT_BYTES
    if end > len(view):
        raise StreamError(f"dictionary stream ends inside the packets of slice {index}")
    tail = int.from_bytes(view[position >> 3 : end], "little") >> (position & 7)
    if tail:
        raise StreamError(f"dictionary padding after slice {index} must be zero bits")
    return end


def _indices(data: np.ndarray, starts: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Indices int64 [packets, PACKET_IDS] of the packets that start at the given bits."""
    modes = (data[starts >> 3] >> (starts & 7).astype(np.uint8)) & 3
    result = np.zeros((len(starts), PACKET_IDS), np.int64)
    for mode, width in enumerate(widths.tolist()):
        chosen = np.flatnonzero(modes == mode)
        if width == 0 or not len(chosen):
            continue
        bits = starts[chosen][:, None] + _MODE_BITS + width * np.arange(PACKET_IDS)
        byte = bits >> 3
        window = data[byte].astype(np.int64)
        window |= data[byte + 1].astype(np.int64) << 8
        window |= data[byte + 2].astype(np.int64) << 16
        result[chosen] = (window >> (bits & 7)) & ((1 << width) - 1)
    return result


def _headers(rows: np.ndarray, config: AcceleratorConfig) -> StreamHeaders:
    used = np.ascontiguousarray(rows[:, : config.port_rows * HEADER_BYTES])
    records = used.view(HEADER_DTYPE)
    shift = records["shift"]
    wrong = (shift < 1) | (shift > MAX_SHIFT)
    if wrong.any():
        raise StreamError(f"header shift must be in 1..{MAX_SHIFT}, not {int(shift[wrong][0])}")
    return StreamHeaders(records["bias"], records["multiplier"], shift)


def _beats(count: int) -> int:
    return -(-count // BEAT_BYTES)
