# SPDX-License-Identifier: Apache-2.0
"""MEADOW's packing step by step: fixed-width indices, packet precision, frequency order, both
chunks.

Source: MEADOW, arXiv 2503.11663, section on weight packing. Every variant is counted twice:
`one_table` as in the paper, one table for the whole matrix and no end of a slice, port or beat
anywhere, whatever the number of unique chunks; and `streams`, as the ports read it, where every
port has its table, slices end on beats, preambles count, and a matrix with more unique chunks than
a decoder's table holds, or one that gets larger than raw, stays raw.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meadow.compiler.packing.dictionary import plan_dictionary
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import MODE_BITS, PACKET_IDS
from workbench.packing.figures import padded_weights

__all__ = [
    "VARIANT_GRIDS",
    "Variant",
    "dictionary_variants",
    "one_table_bits",
    "stream_bits",
    "unique_chunks",
]

VARIANT_GRIDS = ("w8-tensor", "w8-channel")
"""Grids whose report has them."""

_PACKET_SIZES = (4, 8, 16, 32)
_BEAT_BITS = 8 * BEAT_BYTES
_LARGEST_WIDTH = 16


@dataclass(frozen=True)
class Variant:
    """Steps of the packing that are on; chunk: 1 or 2 weights per index."""

    chunk: int
    packet_precision: bool = True
    frequency_order: bool = True


_VARIANTS: Mapping[str, Variant] = {
    "naive": Variant(2, packet_precision=False, frequency_order=False),
    "chunk2": Variant(2),
    "chunk1": Variant(1),
}


def unique_chunks(weight: np.ndarray, chunk: int) -> int:
    """Distinct runs of `chunk` weights along the inputs of int8 [out, in]."""
    return int(np.count_nonzero(np.bincount(_symbols(weight, chunk))))


def one_table_bits(weight: np.ndarray, variant: Variant, packet_ids: int = PACKET_IDS) -> int:
    """Bits of int8 [out, in] with one table: its entries, modes, indices; the last packet is filled
    with index 0.
    """
    symbols = _symbols(weight, variant.chunk)
    counts = np.bincount(symbols, minlength=1 << 8 * variant.chunk)
    used = np.flatnonzero(counts)
    table_bits = 8 * variant.chunk * len(used)
    if not variant.packet_precision:
        return table_bits + len(symbols) * (len(used) - 1).bit_length()
    if variant.frequency_order:
        order = np.argsort(-counts[used], kind="stable")
    else:
        values = used.astype("<u2").view(np.int8).reshape(-1, 2)
        order = np.lexsort((values[:, 1], values[:, 0]))
    rank = np.zeros(len(counts), np.int64)
    rank[used[order]] = np.arange(len(used))
    indices = np.pad(rank[symbols], (0, -len(symbols) % packet_ids))
    largest = indices.reshape(-1, packet_ids).max(axis=1)
    needed = np.frexp(largest)[1]  # bit length
    histogram = np.bincount(needed, minlength=_LARGEST_WIDTH + 1)
    return table_bits + len(needed) * MODE_BITS + packet_ids * _narrowest(histogram)


def stream_bits(weight: np.ndarray, variant: Variant, config: AcceleratorConfig) -> int | None:
    """Bits of all ports' streams without slice headers; None if a port has more unique chunks than
    its table holds.
    """
    plans = [
        plan_dictionary(
            payload,
            variant.chunk,
            config.dictionary_entries,
            packet_precision=variant.packet_precision,
            frequency_order=variant.frequency_order,
        )
        for payload in _payloads(weight, config)
    ]
    beats = [1 + plan.payload_beats for plan in plans if plan is not None]
    return _BEAT_BITS * sum(beats) if len(beats) == len(plans) else None


def dictionary_variants(
    matrices: Sequence[np.ndarray], config: AcceleratorConfig
) -> dict[str, dict[str, float]]:
    """Bits per weight of all matrices by variant, `one_table` and `streams`.

    best: the smaller chunk for each matrix, and for one_table also the best of 4, 8, 16 and 32
    indices per packet, which streams always have 8 of.
    """
    names = (*_VARIANTS, "best")
    sums = {name: {"one_table": 0, "streams": 0} for name in names}
    for weight in matrices:
        raw = _BEAT_BITS * config.ports + 8 * padded_weights(weight, config).weight.size
        packed = {
            name: min(stream_bits(weight, variant, config) or raw, raw)
            for name, variant in _VARIANTS.items()
        }
        whole = {name: one_table_bits(weight, variant) for name, variant in _VARIANTS.items()}
        packed["best"] = min(packed["chunk1"], packed["chunk2"])
        whole["best"] = min(
            one_table_bits(weight, _VARIANTS[name], size)
            for name, size in itertools.product(("chunk1", "chunk2"), _PACKET_SIZES)
        )
        for name in names:
            sums[name]["one_table"] += whole[name]
            sums[name]["streams"] += packed[name]
    weights = sum(weight.size for weight in matrices)
    return {
        name: {kind: bits / weights for kind, bits in values.items()}
        for name, values in sums.items()
    }


def _symbols(weight: np.ndarray, chunk: int) -> np.ndarray:
    return np.ascontiguousarray(weight).reshape(-1).view(f"<u{chunk}").astype(np.int64)


def _payloads(weight: np.ndarray, config: AcceleratorConfig) -> list[np.ndarray]:
    """Weights int8 [slices, tiles * W/P * W] of every port, in stream order."""
    padded = padded_weights(weight, config).weight
    width, ports = config.width, config.ports
    slices = padded.shape[0] // width
    tiles = padded.reshape(slices, ports, config.port_rows, -1, width).transpose(1, 0, 3, 2, 4)
    return [np.ascontiguousarray(tiles[port]).reshape(slices, -1) for port in range(ports)]


def _narrowest(histogram: np.ndarray) -> int:
    """Sum of packet widths with the best four widths, for packets that need 0, 1, ... bits."""
    kinds = np.flatnonzero(histogram)
    others = itertools.combinations(range(kinds[-1]), min(3, int(kinds[-1])))
    choices = np.array([(*choice, kinds[-1]) for choice in others], np.int64)
    # The narrowest width of a choice that is not below what is needed.
    fits = choices[:, :, None] >= kinds
    widths = np.where(fits, choices[:, :, None], _LARGEST_WIDTH).min(axis=1)
    return int((widths @ histogram[kinds]).min())
