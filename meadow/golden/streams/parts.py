# SPDX-License-Identifier: Apache-2.0
"""What all codecs' streams have: preamble, checksum, slice headers, mode words, packed fields.

Format: `meadow.spec.streams`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.layout import unpack_fields
from meadow.spec.numerics import MAX_SHIFT
from meadow.spec.streams import HEADER_BYTES, MODE_BITS, PREAMBLE_FIELDS

__all__ = [
    "HEADER_DTYPE",
    "MODES",
    "StreamError",
    "StreamHeaders",
    "StreamShape",
    "check_preamble",
    "read_headers",
    "read_preamble",
    "stream_checksum",
    "unpack_octets",
]

HEADER_DTYPE = np.dtype(
    [("bias", "<i4"), ("multiplier", "<u2"), ("shift", "u1"), ("reserved", "u1")]
)
"""`meadow.spec.streams.HEADER_FIELDS` as the NumPy record of one channel."""

MODES = 1 << MODE_BITS
_CHECKSUM_BYTES = 4
_OCTET = 8


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


@dataclass(frozen=True)
class StreamShape:
    """slices; header_bytes: of one slice, whole beats; weights: of one slice's payload."""

    slices: int
    header_bytes: int
    weights: int


def stream_checksum(stream: bytes | memoryview) -> int:
    """CRC-32 over the whole stream, the preamble's `checksum` field (its last 4 bytes) taken as
    0.
    """
    view = memoryview(stream)
    start = zlib.crc32(view[: BEAT_BYTES - _CHECKSUM_BYTES])
    return zlib.crc32(view[BEAT_BYTES:], zlib.crc32(bytes(_CHECKSUM_BYTES), start))


def read_preamble(stream: bytes | memoryview) -> dict[str, int]:
    """Fields of the preamble by name; StreamError if the stream is shorter than one."""
    if len(stream) < BEAT_BYTES:
        raise StreamError(f"a stream has at least {BEAT_BYTES} bytes, not {len(stream)}")
    return unpack_fields(PREAMBLE_FIELDS, int.from_bytes(stream[:BEAT_BYTES], "little"))


def check_preamble(view: memoryview, weights: int) -> dict[str, int]:
    """The preamble's fields, once length, checksum, reserved bits and the number of weights are
    right; StreamError names the one that is not."""
    fields = read_preamble(view)
    if len(view) % BEAT_BYTES:
        raise StreamError(f"a stream is whole beats of {BEAT_BYTES} bytes, not {len(view)} bytes")
    checksum = stream_checksum(view)
    if checksum != fields["checksum"]:
        raise StreamError(
            f"stream checksum is {checksum:#010x}, its preamble says {fields['checksum']:#010x}"
        )
    if fields["reserved"]:
        raise StreamError(f"reserved bits of a preamble must be 0, not {fields['reserved']:#x}")
    if fields["weights"] != weights:
        raise StreamError(f"stream holds {fields['weights']} weights, the command takes {weights}")
    return fields


def read_headers(rows: np.ndarray, config: AcceleratorConfig) -> StreamHeaders:
    """Slice headers from their bytes, uint8 [slices, header bytes]; StreamError for a shift out of
    range, reserved bits or padding that are not 0."""
    size = config.port_rows * HEADER_BYTES
    records = np.ascontiguousarray(rows[:, :size]).view(HEADER_DTYPE)
    shift = records["shift"]
    wrong = (shift < 1) | (shift > MAX_SHIFT)
    if wrong.any():
        raise StreamError(f"header shift must be in 1..{MAX_SHIFT}, not {int(shift[wrong][0])}")
    if records["reserved"].any() or rows[:, size:].any():
        raise StreamError("reserved bits and padding of a slice header must be 0")
    return StreamHeaders(records["bias"], records["multiplier"], shift)


def unpack_octets(packed: np.ndarray, width: int) -> np.ndarray:
    """Fields uint16 [n, 8] of `width` bits, at most 16, from their bytes uint8 [n, width]."""
    padded = np.zeros((width + 3, len(packed)), np.uint32)
    padded[:width] = packed.T
    fields = np.zeros((len(packed), _OCTET), np.uint16)
    for number in range(_OCTET):
        byte, bit = divmod(number * width, 8)
        window = padded[byte] | padded[byte + 1] << 8 | padded[byte + 2] << 16
        fields[:, number] = (window >> bit) & ((1 << width) - 1)
    return fields
