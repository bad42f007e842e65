# SPDX-License-Identifier: Apache-2.0
"""Unpacking of a dictionary stream: mode words locate the packets, packets name table entries.

Format: `meadow.spec.streams`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meadow.golden.streams.parts import MODES, StreamError, StreamShape, unpack_octets
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import MAX_WIDTH, MODE_BITS, MODES_PER_WORD, PACKET_IDS, WORD_BYTES

__all__ = ["unpack_dictionary"]


def unpack_dictionary(
    view: memoryview, fields: dict[str, int], shape: StreamShape, config: AcceleratorConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Payload int8 [slices * weights] and headers uint8 [slices, bytes] of a whole stream.

    fields: of its preamble; config: of which `dictionary_entries`, the depth of the decoder's
    table, matters.
    """
    chunk, entries = fields["chunk"], fields["entries"]
    widths = [fields[f"width{mode}"] for mode in range(MODES)]
    if chunk not in (1, 2):
        raise StreamError(f"dictionary chunk must be 1 or 2 weights, not {chunk}")
    widest = min(MAX_WIDTH, 8 * chunk)
    if max(widths) > widest:
        raise StreamError(
            f"dictionary widths must be 0..{widest} bits for a chunk of {chunk}, not {widths}"
        )
    most = min(config.dictionary_entries, 256**chunk)
    if not 1 <= entries <= most:
        raise StreamError(f"dictionary entries must be 1..{most}, not {entries}")
    table_end = BEAT_BYTES + -(-entries * chunk // BEAT_BYTES) * BEAT_BYTES
    if table_end > len(view):
        raise StreamError(f"dictionary table ends at byte {table_end} of {len(view)}")
    if any(view[BEAT_BYTES + entries * chunk : table_end]):
        raise StreamError("dictionary padding after the table must be zero")
    table = np.frombuffer(view, np.int8, entries * chunk, BEAT_BYTES).reshape(entries, chunk)

    packets = shape.weights // (chunk * PACKET_IDS)
    walk = _Walk(view, widths, packets)
    heads, position = [], table_end
    for index in range(shape.slices):
        heads.append(position)
        payload = position + shape.header_bytes
        if payload > len(view):
            raise StreamError(f"dictionary stream ends inside the header of slice {index}")
        end = walk.fixed(payload) if fields["fixed"] else walk.slice(payload, index)
        position = -(-end // BEAT_BYTES) * BEAT_BYTES
        if position > len(view):
            raise StreamError(f"dictionary stream ends inside the packets of slice {index}")
        if any(view[end:position]):
            raise StreamError(f"dictionary padding after slice {index} must be zero")
    if position != len(view):
        raise StreamError(f"dictionary stream ends at byte {position}, its length is {len(view)}")

    data = np.frombuffer(view, np.uint8)
    headers = data[np.array(heads)[:, None] + np.arange(shape.header_bytes)]
    indices = _indices(data, *walk.found(), np.array(widths))
    largest = int(indices.max(initial=0))
    if largest >= entries:
        raise StreamError(f"dictionary index {largest} is beyond {entries} entries")
    return table[indices.reshape(-1)], headers


@dataclass
class _Walk:
    """Where the packets are: words and their first packets' bytes, found slice by slice."""

    view: memoryview
    widths: list[int]
    packets: int

    def __post_init__(self) -> None:
        self._words: list[int] = []
        self._starts: list[int] = []
        self._fixed: list[int] = []
        # Bytes of the packets of a byte of modes.
        self._lengths = [
            sum(self.widths[modes >> place & (MODES - 1)] for place in range(0, 8, MODE_BITS))
            for modes in range(256)
        ]

    def fixed(self, start: int) -> int:
        """Byte after the packets of a slice without mode words."""
        self._fixed.append(start)
        return start + self.packets * self.widths[0]

    def slice(self, start: int, index: int) -> int:
        """Byte after the packets of slice `index`, whose payload starts at byte `start`."""
        view, lengths = self.view, self._lengths
        blocks, rest = divmod(self.packets, MODES_PER_WORD)
        count = blocks + (rest > 0)
        word, position = view[start : start + WORD_BYTES], start + WORD_BYTES
        for block in range(count):
            following = view[position : position + WORD_BYTES]
            if block < count - 1:
                position += WORD_BYTES
            if len(word) < WORD_BYTES:
                return len(view) + 1
            value = int.from_bytes(word, "little")
            self._words.append(value)
            self._starts.append(position)
            if block < blocks:
                position += sum([lengths[modes] for modes in word])
            else:
                if value >> rest * MODE_BITS:
                    raise StreamError(f"dictionary modes after slice {index} must be zero")
                position += sum(
                    self.widths[value >> MODE_BITS * i & (MODES - 1)] for i in range(rest)
                )
            word = following
        return position

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """First byte int64 and mode uint8 of every packet in stream order."""
        if self._fixed:
            places = np.arange(self.packets) * self.widths[0]
            starts = np.array(self._fixed)[:, None] + places
            return starts.reshape(-1), np.zeros(starts.size, np.uint8)
        words = np.array(self._words, np.uint32)[:, None]
        modes = (words >> MODE_BITS * np.arange(MODES_PER_WORD, dtype=np.uint32)) & (MODES - 1)
        lengths = np.array(self.widths)[modes]
        starts = np.array(self._starts)[:, None] + np.cumsum(lengths, axis=1) - lengths
        used = -(-self.packets // MODES_PER_WORD) * MODES_PER_WORD
        kept = np.arange(used) < self.packets
        starts, modes = starts.reshape(-1, used)[:, kept], modes.reshape(-1, used)[:, kept]
        return starts.reshape(-1), modes.reshape(-1).astype(np.uint8)


def _indices(
    data: np.ndarray, starts: np.ndarray, modes: np.ndarray, widths: np.ndarray
) -> np.ndarray:
    """Indices uint16 [packets, PACKET_IDS] of the packets that start at the given bytes."""
    result = np.zeros((len(starts), PACKET_IDS), np.uint16)
    for mode, width in enumerate(widths.tolist()):
        chosen = np.flatnonzero(modes == mode)
        if width and len(chosen):
            packed = data[starts[chosen][:, None] + np.arange(width)]
            result[chosen] = unpack_octets(packed, width)
    return result
