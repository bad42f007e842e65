# SPDX-License-Identifier: Apache-2.0
"""Variants of MEADOW's packing against plain counting and against the streams that are really
packed.
"""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.packing.packing import pack_matrix
from meadow.spec.config import CONFIGURATIONS
from workbench.packing.figures import padded_weights, with_every_codec
from workbench.packing.variants import (
    Variant,
    dictionary_variants,
    one_table_bits,
    stream_bits,
    unique_chunks,
)


def weight(shape: tuple[int, int] = (32, 64), degrees: float = 3, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(salted(seed)).standard_t(degrees, shape)
    return np.clip(np.rint(drawn * 2), -127, 127).astype(np.int8)


def by_hand(matrix: np.ndarray, variant: Variant, packet_ids: int) -> int:
    """The same count without NumPy."""
    chunks = [tuple(run) for run in matrix.reshape(-1, variant.chunk).tolist()]
    counts = Counter(chunks)
    order = sorted(counts)
    if variant.frequency_order:
        order = [chunk for chunk, _ in sorted(counts.items(), key=lambda item: -item[1])]
    place = {chunk: index for index, chunk in enumerate(order)}
    table = 8 * variant.chunk * len(order)
    if not variant.packet_precision:
        return table + len(chunks) * (len(order) - 1).bit_length()
    packets = [chunks[start : start + packet_ids] for start in range(0, len(chunks), packet_ids)]
    needed = [max(place[chunk] for chunk in packet).bit_length() for packet in packets]
    widths = itertools.combinations(range(17), 4)
    bits = min(
        packet_ids * sum(min(width for width in choice if width >= need) for need in needed)
        for choice in widths
        if choice[-1] == max(*needed, 3)
    )
    return table + bits + 2 * len(packets)


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("packet_ids", [4, 8, 32])
def test_one_table_is_what_counting_says(chunk: int, packet_ids: int) -> None:
    # Without ties in the counts there is one order by frequency; with one the width needed may
    # differ.
    for precision, order in ((False, False), (True, False), (True, True)):
        variant = Variant(chunk, packet_precision=precision, frequency_order=order)
        matrix = weight()
        expected = by_hand(matrix, variant, packet_ids)
        found = one_table_bits(matrix, variant, packet_ids)
        assert found == pytest.approx(expected, rel=0.02 if order else 0)


def test_one_value_needs_no_indices() -> None:
    same = np.full((16, 16), -3, np.int8)
    assert one_table_bits(same, Variant(1)) == 8 + 2 * 32
    assert one_table_bits(same, Variant(2, packet_precision=False)) == 16


def test_frequency_order_is_what_makes_packets_short() -> None:
    matrix = weight((256, 512), degrees=2)
    naive, precise, ordered = (
        one_table_bits(matrix, Variant(2, packet_precision=precision, frequency_order=order))
        for precision, order in ((False, False), (True, False), (True, True))
    )
    assert ordered < 0.9 * min(naive, precise)


@pytest.mark.parametrize("config_name", list(CONFIGURATIONS))
def test_streams_are_those_that_are_packed(config_name: str) -> None:
    config = with_every_codec(CONFIGURATIONS[config_name])
    for seed, shape in enumerate(((64, 128), (70, 100))):
        matrix = weight(shape, seed=seed)
        packed = pack_matrix(padded_weights(matrix, config), config, "dictionary")
        assert packed.codec.name == "DICTIONARY"
        variants = dictionary_variants([matrix], config)
        best = variants["best"]["streams"] * matrix.size
        # Ports of a packed matrix choose their chunk alone.
        assert 8 * packed.payload_bytes <= round(best) <= 8 * packed.payload_bytes * 1.02


def test_what_does_not_fit_a_table_is_no_stream() -> None:
    config = CONFIGURATIONS["tiny"]
    matrix = np.random.default_rng(salted(0)).integers(-127, 128, (128, 128)).astype(np.int8)
    assert unique_chunks(matrix, 2) > config.dictionary_entries
    assert stream_bits(matrix, Variant(2), config) is None
    assert stream_bits(matrix, Variant(1), config) is not None
    variants = dictionary_variants([matrix], config)
    # It stays raw: a byte per weight and a preamble.
    assert variants["chunk2"]["streams"] == pytest.approx(8 + 128 / matrix.size)


def test_unique_chunks_are_counted_along_the_inputs() -> None:
    matrix = np.array([[1, 2, 1, 2], [2, 1, 1, 2]], np.int8)
    assert (unique_chunks(matrix, 1), unique_chunks(matrix, 2)) == (2, 2)
