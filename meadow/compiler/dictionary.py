# SPDX-License-Identifier: Apache-2.0
"""Dictionary coding: unique chunks, indices by falling frequency, packets with their own width.

Source: MEADOW, arXiv 2503.11663, section on weight packing. Format: `meadow.spec.streams`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import PACKET_IDS

__all__ = ["MODE_WIDTHS", "DictionaryPlan", "encode_slice", "plan_dictionary"]

MODE_WIDTHS = 4
"""Widths that a stream's packets choose from."""

_MAX_WIDTH = 12
_BEAT_BITS = 8 * BEAT_BYTES
_NEEDED = np.array([index.bit_length() for index in range(1 << _MAX_WIDTH)], np.uint8)
_CHOICES = np.array(list(itertools.combinations(range(_MAX_WIDTH + 1), MODE_WIDTHS)), np.int64)


@dataclass(frozen=True)
class DictionaryPlan:
    """How one stream is coded.

    chunk: weights per index; table: int8 [entries, chunk];
    widths: index bits of the four modes, ascending;
    indices: uint16 [slices, packets, PACKET_IDS]; modes: uint8 [slices, packets];
    payload_beats: of all slices.
    """

    chunk: int
    table: np.ndarray
    widths: tuple[int, ...]
    indices: np.ndarray
    modes: np.ndarray
    payload_beats: int

    @property
    def table_beats(self) -> int:
        """Beats of the stored table."""
        return -(-self.table.size // BEAT_BYTES)


def plan_dictionary(payload: np.ndarray, chunk: int, entries: int) -> DictionaryPlan | None:
    """Code `payload` int8 [slices, weights] in chunks of 1 or 2; None if it has more than `entries`
    unique chunks.

    Indices rank chunks by falling count, ties by value. The widths are the four that give the
    fewest beats: all choices are counted over each slice's histogram of the widths that its packets
    need.
    """
    slices = len(payload)
    symbols = payload.view(np.uint8).astype(np.uint16)
    if chunk == 2:
        symbols = symbols[:, 0::2] | (symbols[:, 1::2] << 8)
    count = np.bincount(symbols.reshape(-1), minlength=1 << (8 * chunk))
    order = np.argsort(-count, kind="stable")[: np.count_nonzero(count)]
    if len(order) > min(entries, 1 << _MAX_WIDTH):
        return None
    rank = np.zeros(1 << (8 * chunk), np.uint16)
    rank[order] = np.arange(len(order))
    indices = rank[symbols].reshape(slices, -1, PACKET_IDS)
    needed = _NEEDED[indices.max(axis=2)]
    widths, beats = _best_widths(needed)
    modes = np.searchsorted(np.array(widths), needed).astype(np.uint8)
    table = order.astype("<u2").view(np.int8).reshape(-1, 2)[:, :chunk]
    return DictionaryPlan(chunk, np.ascontiguousarray(table), widths, indices, modes, beats)


def _best_widths(needed: np.ndarray) -> tuple[tuple[int, ...], int]:
    """Four widths, ascending, with the fewest beats over all slices, and those beats."""
    kinds = _MAX_WIDTH + 1
    slot = needed.astype(np.int64) + kinds * np.arange(len(needed))[:, None]
    histogram = np.bincount(slot.reshape(-1), minlength=kinds * len(needed)).reshape(-1, kinds)
    choices = _CHOICES[_CHOICES[:, -1] == max(int(needed.max()), MODE_WIDTHS - 1)]
    lengths = np.stack(
        [
            2 + PACKET_IDS * row[np.searchsorted(row, np.minimum(np.arange(kinds), row[-1]))]
            for row in choices
        ]
    )
    beats = -(-(histogram @ lengths.T) // _BEAT_BITS)
    total = beats.sum(axis=0)
    best = int(np.argmin(total))
    return tuple(int(width) for width in choices[best]), int(total[best])


def encode_slice(plan: DictionaryPlan, index: int) -> bytes:
    """Packets of slice `index`, zero bits up to the next beat."""
    ids, modes = plan.indices[index], plan.modes[index]
    packets = len(ids)
    id_bits = np.unpackbits(
        ids.astype("<u2").view(np.uint8).reshape(packets, PACKET_IDS, 2), axis=2, bitorder="little"
    )[:, :, :_MAX_WIDTH]
    width = np.array(plan.widths)[modes]
    kept = np.arange(_MAX_WIDTH) < width[:, None]
    mode_bits = np.stack([modes & 1, modes >> 1], axis=1)
    bits = np.concatenate([mode_bits, id_bits.reshape(packets, -1)], axis=1)
    mask = np.concatenate([np.ones((packets, 2), bool), np.tile(kept, (1, PACKET_IDS))], axis=1)
    data = np.packbits(bits[mask], bitorder="little").tobytes()
    return data + bytes(-len(data) % BEAT_BYTES)
