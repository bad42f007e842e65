# SPDX-License-Identifier: Apache-2.0
"""Packing loses nothing, never grows, and takes the best widths there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meadow.compiler.dictionary import plan_dictionary
from meadow.compiler.packing import PackedMatrix, pack_matrix, pad_linear
from meadow.golden.quantised import QuantisedLinear
from meadow.golden.streams import read_preamble, unpack_stream
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.streams import PACKET_IDS, Codec

CONFIGS = {name: named_config(name) for name in ("tiny", "small", "zcu102")}


def linear(weight: np.ndarray, seed: int = 0) -> QuantisedLinear:
    random = np.random.default_rng(seed)
    outputs = len(weight)
    return QuantisedLinear(
        weight=weight.astype(np.int8),
        bias=random.integers(-(1 << 31), 1 << 31, outputs).astype(np.int32),
        multiplier=random.integers(0, 1 << 16, outputs).astype(np.uint16),
        shift=random.integers(1, 48, outputs).astype(np.uint8),
    )


def drawn(shape: tuple[int, int], spread: float, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_t(5, shape) * spread
    return np.clip(np.rint(values), -127, 127)


def assert_lossless(
    packed: PackedMatrix, matrix: QuantisedLinear, config: AcceleratorConfig
) -> None:
    slices, tiles = matrix.outputs // config.width, matrix.inputs // config.width
    assert len(packed.streams) == config.ports
    for port, stream in enumerate(packed.streams):
        weights, headers = unpack_stream(stream, slices, tiles, config)
        for piece in range(slices):
            first = piece * config.width + port * config.port_rows
            channels = slice(first, first + config.port_rows)
            assert (weights[piece] == matrix.weight[channels]).all()
            assert (headers.bias[piece] == matrix.bias[channels]).all()
            assert (headers.multiplier[piece] == matrix.multiplier[channels]).all()
            assert (headers.shift[piece] == matrix.shift[channels]).all()


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    slices=st.integers(1, 3),
    tiles=st.integers(1, 3),
    spread=st.floats(0, 200),
    codec=st.sampled_from(("auto", "dictionary", "raw")),
    seed=st.integers(0, 1000),
)
def test_unpacking_gives_back_every_matrix(
    name: str, slices: int, tiles: int, spread: float, codec: str, seed: int
) -> None:
    config = CONFIGS[name]
    matrix = linear(drawn((slices * config.width, tiles * config.width), spread, seed), seed)
    packed = pack_matrix(matrix, config, codec)
    assert_lossless(packed, matrix, config)
    raw = pack_matrix(matrix, config, "raw")
    assert packed.size_bytes <= raw.size_bytes
    assert codec != "raw" or packed.codec == Codec.RAW
    header = config.header_beats * 16 * slices
    assert raw.size_bytes == config.ports * (16 + header) + matrix.weight.size


def test_compressible_weights_shrink_and_noise_stays_raw() -> None:
    config = CONFIGS["zcu102"]
    narrow = pack_matrix(linear(drawn((256, 256), 4)), config, "auto")
    assert narrow.codec == Codec.DICTIONARY
    assert 4.2 < narrow.size_bytes * 8 / 256**2 < 5.7
    noise = np.random.default_rng(1).integers(-127, 128, (256, 256))
    for codec in ("auto", "dictionary"):
        assert pack_matrix(linear(noise), config, codec).codec == Codec.RAW


def test_constant_weights_need_no_index_bits() -> None:
    config = CONFIGS["tiny"]
    packed = pack_matrix(linear(np.full((16, 64), 3)), config, "auto")
    fields = read_preamble(packed.streams[0])
    assert fields["entries"] == 1 and fields["width0"] == 0 and fields["chunk"] == 2
    assert_lossless(packed, linear(np.full((16, 64), 3)), config)


def test_pairs_are_used_where_they_pay_and_only_if_their_table_fits() -> None:
    config = CONFIGS["tiny"]
    pairs = np.random.default_rng(2).integers(-127, 128, (200, 2))
    weight = pairs[np.random.default_rng(3).integers(0, 200, 64 * 128)].reshape(64, 256)
    fields = read_preamble(pack_matrix(linear(weight), config, "auto").streams[0])
    assert fields["chunk"] == 2 and fields["entries"] == 200
    payload = weight.astype(np.int8).reshape(4, -1)
    assert plan_dictionary(payload, 2, 199) is None
    many = np.random.default_rng(4).integers(-127, 128, (64, 256))
    assert plan_dictionary(many.astype(np.int8).reshape(4, -1), 2, 1024) is None


def test_indices_rank_chunks_by_falling_count() -> None:
    payload = np.array([[5] * 32 + [-7] * 16 + [9] * 64 + [0] * 16], np.int8)
    plan = plan_dictionary(payload, 1, 256)
    assert plan is not None
    assert plan.table.reshape(-1).tolist() == [9, 5, 0, -7]


def test_widths_are_the_best_four() -> None:
    payload = drawn((3, 512), 12, seed=9).astype(np.int8)
    plan = plan_dictionary(payload, 1, 256)
    assert plan is not None
    needed = [[max(map(int, packet)).bit_length() for packet in piece] for piece in plan.indices]
    best = min(
        sum(
            -(-sum(2 + PACKET_IDS * min(w for w in widths if w >= need) for need in piece) // 128)
            for piece in needed
        )
        for widths in itertools.combinations(range(13), 4)
        if max(widths) >= max(map(max, needed))
    )
    assert plan.payload_beats == best


def test_padding_places_channels_and_stays_zero() -> None:
    matrix = linear(drawn((3, 2), 50), 4)
    padded = pad_linear(matrix, 6, 5, rows=np.array([0, 2, 5]), columns=np.array([1, 4]))
    assert (padded.weight[np.ix_([0, 2, 5], [1, 4])] == matrix.weight).all()
    assert np.count_nonzero(padded.weight) == np.count_nonzero(matrix.weight)
    assert padded.bias[[0, 2, 5]].tolist() == matrix.bias.tolist()
    for array, value in ((padded.bias, 0), (padded.multiplier, 0), (padded.shift, 1)):
        assert (array[[1, 3, 4]] == value).all()


def test_errors_state_rule_and_value() -> None:
    with pytest.raises(ValueError, match="codec must be one of auto, dictionary, raw, not 'rice'"):
        pack_matrix(linear(np.zeros((16, 16))), CONFIGS["tiny"], "rice")
    with pytest.raises(ValueError, match=r"whole tiles of 16, not \[16, 24\]"):
        pack_matrix(linear(np.zeros((16, 24))), CONFIGS["tiny"], "raw")
