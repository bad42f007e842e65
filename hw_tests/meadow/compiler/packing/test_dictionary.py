# SPDX-License-Identifier: Apache-2.0
"""The dictionary packer: order of entries, best widths, chunks, and its switches."""

from __future__ import annotations

import itertools

import numpy as np

from hw_tests.meadow.compiler.matrices import CONFIGS, assert_lossless, draw, linear
from hw_tests.seeds import salted
from meadow.compiler.packing.dictionary import plan_dictionary
from meadow.compiler.packing.packing import pack_matrix
from meadow.golden.streams.decode import read_preamble
from meadow.spec.streams import MODES_PER_WORD, Codec


def test_indices_rank_chunks_by_falling_count_or_by_value() -> None:
    payload = np.array([[5] * 32 + [-7] * 16 + [9] * 64 + [0] * 16], np.int8)
    plan = plan_dictionary(payload, 1, 256)
    assert plan is not None and plan.table.reshape(-1).tolist() == [9, 5, 0, -7]
    plan = plan_dictionary(payload, 1, 256, frequency_order=False)
    assert plan is not None and plan.table.reshape(-1).tolist() == [-7, 0, 5, 9]
    pairs = np.array([[3, -1, -2, 4, 3, -2, -2, -9] * 16], np.int8)
    plan = plan_dictionary(pairs, 2, 256, frequency_order=False)
    assert plan is not None and plan.table.tolist() == [[-2, -9], [-2, 4], [3, -2], [3, -1]]


def test_widths_are_the_best_four() -> None:
    payload = draw("skewed", (3, 512), 9)
    plan = plan_dictionary(payload, 1, 256)
    assert plan is not None and not plan.fixed
    needed = [[max(map(int, packet)).bit_length() for packet in piece] for piece in plan.indices]
    words = -(-64 // MODES_PER_WORD)
    best = min(
        sum(
            -(-(4 * words + sum(min(w for w in widths if w >= n) for n in piece)) // 16)
            for piece in needed
        )
        for widths in itertools.combinations(range(13), 4)
        if max(widths) >= max(map(max, needed))
    )
    assert plan.payload_beats == best + -(-len(plan.table) // 16)


def test_one_width_needs_no_modes() -> None:
    # Every packet needs both bits: modes could only add words.
    payload = np.resize([1, 2, 3, 4], (2, 512)).astype(np.int8)
    plan = plan_dictionary(payload, 1, 256)
    assert plan is not None and plan.fixed and plan.widths == (2, 0, 0, 0)
    assert plan.payload_beats == 1 + 2 * 512 * 2 // 128


def test_without_packet_precision_every_index_has_the_width_of_the_largest() -> None:
    payload = draw("skewed", (2, 1024), 3)
    plan = plan_dictionary(payload, 1, 256, packet_precision=False)
    best = plan_dictionary(payload, 1, 256)
    assert plan is not None and best is not None and plan.fixed and not best.fixed
    assert plan.widths == ((len(plan.table) - 1).bit_length(), 0, 0, 0)
    assert best.payload_beats < plan.payload_beats


def test_constant_weights_need_no_index_bits() -> None:
    config, matrix = CONFIGS["tiny"], linear(np.full((16, 64), 3))
    packed = pack_matrix(matrix, config, "dictionary")
    fields = read_preamble(packed.streams[0])
    assert fields["entries"] == 1 and fields["width0"] == 0 and fields["fixed"] == 1
    assert packed.payload_bytes == 32
    assert_lossless(packed, matrix, config)


def test_pairs_are_used_where_they_pay_and_only_if_their_table_fits() -> None:
    config = CONFIGS["tiny"]
    pairs = np.random.default_rng(salted(2)).integers(-127, 128, (200, 2))
    weight = pairs[np.random.default_rng(salted(3)).integers(0, 200, 64 * 128)].reshape(64, 256)
    packed = pack_matrix(linear(weight), config, "auto")
    fields = read_preamble(packed.streams[0])
    assert packed.codec == Codec.DICTIONARY and fields["chunk"] == 2 and fields["entries"] == 200
    payload = weight.astype(np.int8).reshape(4, -1)
    assert plan_dictionary(payload, 2, 200) is not None
    assert plan_dictionary(payload, 2, 199) is None
    assert plan_dictionary(draw("random", (64, 256), 4), 2, 4096) is None
