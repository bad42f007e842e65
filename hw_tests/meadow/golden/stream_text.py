# SPDX-License-Identifier: Apache-2.0
"""What tests need to write streams down by hand, from the text of `meadow.spec.streams`."""

from __future__ import annotations

import struct
import zlib

from meadow.spec.config import named_config
from meadow.spec.layout import pack_fields, unpack_fields
from meadow.spec.streams import PREAMBLE_FIELDS

__all__ = ["HEADER", "SMALL", "TINY", "finish", "reseal", "words"]

TINY = named_config("tiny")  # W = 16, one port
SMALL = named_config("small")  # W = 32, two ports of 16 rows
HEADER = struct.pack("<iHBB", -5, 40000, 17, 0)


def finish(body: bytes, **fields: int) -> bytes:
    """A preamble with these fields and the right checksum in front of a body."""
    blank = pack_fields(PREAMBLE_FIELDS, fields, "preamble").to_bytes(16, "little")
    values = {"checksum": zlib.crc32(blank + body), **fields}
    return pack_fields(PREAMBLE_FIELDS, values, "preamble").to_bytes(16, "little") + body


def reseal(stream: bytes | bytearray, **changes: int) -> bytes:
    """The stream with changed fields and the checksum that is right for what it is now."""
    fields = unpack_fields(PREAMBLE_FIELDS, int.from_bytes(stream[:16], "little"))
    del fields["checksum"]
    return finish(bytes(stream[16:]), **{**fields, **changes})


def words(*values: int) -> bytes:
    """32-bit words, zero-padded to a beat."""
    data = struct.pack(f"<{len(values)}I", *values)
    return data + bytes(-len(data) % 16)
