# SPDX-License-Identifier: Apache-2.0
"""Packing loses nothing, never grows, and `auto` is the smallest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_tests.meadow.compiler.matrices import CONFIGS, KINDS, assert_lossless, draw, linear
from meadow.compiler.packing.packing import (
    CODECS,
    PackedMatrix,
    codec_choices,
    pack_matrix,
    pad_linear,
)
from meadow.golden.streams.decode import read_preamble
from meadow.spec.parts import MissingPart
from meadow.spec.streams import Codec

MATRICES: dict[str, Any] = {
    "name": st.sampled_from(sorted(CONFIGS)),
    "tiles": st.integers(1, 5),
    "kind": st.sampled_from(sorted(KINDS)),
    "seed": st.integers(0, 1000),
}
"""What a matrix is drawn from."""


def largest(packed: PackedMatrix) -> int:
    return max(len(stream) for stream in packed.streams)


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=150, deadline=None)
@given(slices=st.integers(1, 3), **MATRICES)
def test_unpacking_gives_back_every_matrix(
    codec: str, name: str, slices: int, tiles: int, kind: str, seed: int
) -> None:
    config = CONFIGS[name]
    matrix = linear(draw(kind, (slices * config.width, tiles * config.width), seed), seed)
    packed = pack_matrix(matrix, config, codec)
    assert_lossless(packed, matrix, config)
    raw = pack_matrix(matrix, config, "raw")
    assert packed.size_bytes <= raw.size_bytes and largest(packed) <= largest(raw)
    assert packed.codec in (Codec.RAW, *(c for c in Codec if codec in ("auto", c.name.lower())))
    header = config.header_beats * 16 * slices
    assert raw.size_bytes == config.ports * (16 + header) + matrix.weight.size
    assert packed.payload_bytes == packed.size_bytes - config.ports * header


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("codec", CODECS)
def test_every_kind_of_matrix_in_every_configuration(kind: str, codec: str) -> None:
    for config in CONFIGS.values():
        matrix = linear(draw(kind, (2 * config.width, 5 * config.width), 7))
        assert_lossless(pack_matrix(matrix, config, codec), matrix, config)


@pytest.mark.parametrize("precision", [False, True])
@pytest.mark.parametrize("frequency", [False, True])
@settings(max_examples=25, deadline=None)
@given(**MATRICES)
def test_a_dictionary_without_its_steps_loses_nothing(
    precision: bool, frequency: bool, name: str, tiles: int, kind: str, seed: int
) -> None:
    config = CONFIGS[name]
    matrix = linear(draw(kind, (2 * config.width, tiles * config.width), seed), seed)
    packed = pack_matrix(
        matrix,
        config,
        "dictionary",
        packet_precision=precision,
        frequency_order=frequency,
    )
    assert_lossless(packed, matrix, config)
    assert packed.size_bytes <= pack_matrix(matrix, config, "raw").size_bytes
    if packed.codec == Codec.DICTIONARY and not precision:
        assert all(read_preamble(stream)["fixed"] for stream in packed.streams)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_auto_is_the_codec_whose_largest_stream_is_smallest(kind: str) -> None:
    for config in CONFIGS.values():
        matrix = linear(draw(kind, (2 * config.width, 4 * config.width), 3))
        sizes = {codec: largest(pack_matrix(matrix, config, codec)) for codec in CODECS}
        assert sizes["auto"] == min(sizes.values())


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_matrix_gives_the_same_bytes(codec: str) -> None:
    config = CONFIGS["small"]
    for kind in KINDS:
        streams = [
            pack_matrix(linear(draw(kind, (64, 96), 5)), config, codec).streams for _ in range(2)
        ]
        assert streams[0] == streams[1]


def test_compressible_weights_shrink_and_noise_stays_raw() -> None:
    config = CONFIGS["zcu102-paper"]
    narrow = linear(draw("grid6", (256, 256), 0))
    sizes = {codec: pack_matrix(narrow, config, codec).size_bytes for codec in CODECS}
    assert sizes["auto"] == sizes["rice"] < sizes["dictionary"] < sizes["raw"]
    assert 5.2 < pack_matrix(narrow, config, "rice").payload_bytes * 8 / 256**2 < 5.8
    noise = linear(draw("random", (256, 256), 1))
    for codec in CODECS:
        assert pack_matrix(noise, config, codec).codec == Codec.RAW


@pytest.mark.parametrize(
    ("codecs", "best"),
    [
        (("raw",), Codec.RAW),
        (("raw", "dictionary"), Codec.DICTIONARY),
        (("raw", "rice"), Codec.RICE),
    ],
)
def test_auto_chooses_among_the_codecs_that_are_there(codecs: tuple[str, ...], best: Codec) -> None:
    config = replace(CONFIGS["zcu102-paper"], codecs=codecs)
    assert codec_choices(config) == ("auto", *sorted(codecs))
    matrix = linear(draw("grid6", (256, 256), 0))
    for codec in CODECS:
        if codec in codec_choices(config):
            expected = best if codec == "auto" else Codec[codec.upper()]
            assert pack_matrix(matrix, config, codec).codec == expected
            assert_lossless(pack_matrix(matrix, config, codec), matrix, config)
            continue
        has = ", ".join(codecs)
        with pytest.raises(MissingPart, match=rf"decoder of codec {codec} \(it has {has}\): tiny"):
            pack_matrix(matrix, config, codec)


def test_one_port_that_does_not_shrink_keeps_all_raw() -> None:
    config = CONFIGS["small"]
    weight = draw("constant", (64, 256), 0)
    weight[16:32] = draw("random", (16, 256), 0)
    weight[48:] = draw("random", (16, 256), 1)
    for codec in CODECS:
        assert pack_matrix(linear(weight), config, codec).codec == Codec.RAW


def test_padding_places_channels_and_stays_zero() -> None:
    matrix = linear(draw("random", (3, 2), 4), 4)
    padded = pad_linear(matrix, 6, 5, rows=np.array([0, 2, 5]), columns=np.array([1, 4]))
    assert (padded.weight[np.ix_([0, 2, 5], [1, 4])] == matrix.weight).all()
    assert np.count_nonzero(padded.weight) == np.count_nonzero(matrix.weight)
    assert padded.bias[[0, 2, 5]].tolist() == matrix.bias.tolist()
    for array, value in ((padded.bias, 0), (padded.multiplier, 0), (padded.shift, 1)):
        assert (array[[1, 3, 4]] == value).all()


def test_errors_state_rule_and_value() -> None:
    message = "codec must be one of auto, dictionary, raw, rice, not 'zip'"
    with pytest.raises(ValueError, match=message):
        pack_matrix(linear(np.zeros((16, 16))), CONFIGS["tiny"], "zip")
    with pytest.raises(ValueError, match=r"whole tiles of 16, not \[16, 24\]"):
        pack_matrix(linear(np.zeros((16, 24))), CONFIGS["tiny"], "raw")
