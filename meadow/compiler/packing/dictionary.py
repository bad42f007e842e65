# SPDX-License-Identifier: Apache-2.0
"""Dictionary coding: unique chunks, indices by falling frequency, packets with their own width.

Source: MEADOW, arXiv 2503.11663, section on weight packing. Format: `meadow.spec.streams`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from meadow.compiler.packing.bit_fields import mode_carriers, mode_words, pack_octets
from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import MAX_WIDTH, MODE_BITS, MODES_PER_WORD, PACKET_IDS, WORD_BYTES, Codec

__all__ = ["DictionaryPlan", "plan_dictionary"]

_MODES = 1 << MODE_BITS
_NEEDED = np.array([index.bit_length() for index in range(1 << MAX_WIDTH)], np.uint8)
_CHOICES = np.array(list(itertools.combinations(range(MAX_WIDTH + 1), _MODES)), np.int64)


@dataclass(frozen=True)
class DictionaryPlan:
    """How one stream is coded.

    chunk: weights per index; table: int8 [entries, chunk]; fixed: no mode words, every packet has
    widths[0]; widths: index bits of the four modes, ascending unless fixed;
    indices: uint16 [slices, packets, PACKET_IDS]; modes: uint8 [slices, packets];
    payload_beats: of table and packets of all slices.
    """

    chunk: int
    table: np.ndarray
    fixed: bool
    widths: tuple[int, ...]
    indices: np.ndarray
    modes: np.ndarray
    payload_beats: int

    @property
    def fields(self) -> dict[str, int]:
        """Preamble fields of this codec."""
        return {
            "codec": Codec.DICTIONARY,
            "chunk": self.chunk,
            "fixed": int(self.fixed),
            "entries": len(self.table),
            **{f"width{mode}": width for mode, width in enumerate(self.widths)},
        }

    def body(self, headers: np.ndarray) -> bytes:
        """The stream after its preamble; headers: uint8 [slices, bytes], whole beats."""
        slices, packets = self.modes.shape
        lengths = np.array(self.widths, np.int64)[self.modes]
        words = mode_words(self.modes)
        before = np.zeros((slices, packets), np.int64)
        if not self.fixed:
            before[:, mode_carriers(packets)] = WORD_BYTES
        ends = np.cumsum(lengths + before, axis=1) + (0 if self.fixed else WORD_BYTES)
        pitch = headers.shape[1] + _padded(ends[:, -1])
        table_bytes = _padded(self.table.size)
        heads = table_bytes + np.cumsum(pitch) - pitch
        payloads = heads + headers.shape[1]
        starts = payloads[:, None] + ends - lengths
        body = np.zeros(table_bytes + int(pitch.sum()), np.uint8)
        body[: self.table.size] = self.table.reshape(-1).view(np.uint8)
        body[heads[:, None] + np.arange(headers.shape[1])] = headers
        if not self.fixed:
            later = starts[:, mode_carriers(packets)] - WORD_BYTES
            places = np.concatenate([payloads[:, None], later], axis=1)
            data = words.view(np.uint8).reshape(*words.shape, WORD_BYTES)
            body[places[:, :, None] + np.arange(WORD_BYTES)] = data
        for mode, width in enumerate(self.widths):
            chosen = self.modes == mode
            if width and chosen.any():
                place = starts[chosen][:, None] + np.arange(width)
                body[place] = pack_octets(self.indices[chosen], width)
        return body.tobytes()


def plan_dictionary(
    payload: np.ndarray,
    chunk: int,
    entries: int,
    *,
    packet_precision: bool = True,
    frequency_order: bool = True,
) -> DictionaryPlan | None:
    """Code `payload` int8 [slices, weights] in chunks of 1 or 2; None if it has more than `entries`
    unique chunks.

    frequency_order: indices rank chunks by falling count, ties by their bytes; otherwise by value.
    packet_precision: the widths are the four that give the fewest beats, or one without mode words
    if that takes no more; otherwise always one.
    """
    slices = len(payload)
    symbols = payload.view(np.uint8).astype(np.uint16)
    if chunk == 2:
        symbols = symbols[:, 0::2] | (symbols[:, 1::2] << 8)
    count = np.bincount(symbols.reshape(-1), minlength=1 << (8 * chunk))
    order = np.flatnonzero(count)
    if len(order) > min(entries, 1 << MAX_WIDTH):
        return None
    values = order.astype("<u2").view(np.int8).reshape(-1, 2)
    if frequency_order:
        sequence = np.argsort(-count[order], kind="stable")
    else:
        sequence = np.lexsort((values[:, 1], values[:, 0]))
    rank = np.zeros(1 << (8 * chunk), np.uint16)
    rank[order[sequence]] = np.arange(len(order))
    indices = rank[symbols].reshape(slices, -1, PACKET_IDS)
    table = np.ascontiguousarray(values[sequence][:, :chunk])
    table_beats = _padded(table.size) // BEAT_BYTES
    width = (len(order) - 1).bit_length()
    beats = slices * _padded(indices.shape[1] * width) // BEAT_BYTES
    fixed, widths, modes = True, (width, 0, 0, 0), np.zeros(indices.shape[:2], np.uint8)
    if packet_precision:
        needed = _NEEDED[indices.max(axis=2)]
        best, fewest = _best_widths(needed)
        if fewest < beats:
            fixed, widths, beats = False, best, fewest
            modes = np.searchsorted(np.array(best), needed).astype(np.uint8)
    return DictionaryPlan(chunk, table, fixed, widths, indices, modes, table_beats + beats)


def _best_widths(needed: np.ndarray) -> tuple[tuple[int, ...], int]:
    """Four widths, ascending, with the fewest beats over all slices, and those beats.

    All choices are counted over each slice's histogram of the widths that its packets need.
    """
    kinds = MAX_WIDTH + 1
    slices, packets = needed.shape
    slot = needed.astype(np.int64) + kinds * np.arange(slices)[:, None]
    histogram = np.bincount(slot.reshape(-1), minlength=kinds * slices).reshape(-1, kinds)
    choices = _CHOICES[_CHOICES[:, -1] == max(int(needed.max()), _MODES - 1)]
    lengths = np.stack(
        [row[np.searchsorted(row, np.minimum(np.arange(kinds), row[-1]))] for row in choices]
    )
    modes = -(-packets // MODES_PER_WORD) * WORD_BYTES
    beats = _padded(modes + histogram @ lengths.T) // BEAT_BYTES
    total = beats.sum(axis=0)
    best = int(np.argmin(total))
    return tuple(int(width) for width in choices[best]), int(total[best])


def _padded(count: Any) -> Any:
    """Bytes of whole beats for `count` bytes, an integer or an array of them."""
    return -(-count // BEAT_BYTES) * BEAT_BYTES
