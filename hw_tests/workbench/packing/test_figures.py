# SPDX-License-Identifier: Apache-2.0
"""Figures of packed matrices against closed forms and plain counting."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.packing.packing import pack_matrix
from meadow.spec.config import CONFIGURATIONS
from workbench.packing.figures import (
    PACKINGS,
    MatrixFigures,
    figures,
    pack_every_way,
    padded_weights,
    table_row,
    total,
    value_entropy,
)


def integers(rows: int, columns: int, levels: int = 5, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(salted(seed))
    return np.rint(np.clip(random.normal(0, levels / 2, (rows, columns)), -levels, levels)).astype(
        np.int8
    )


def measured(weight: np.ndarray, packing: str, config_name: str = "small") -> MatrixFigures:
    config = CONFIGURATIONS[config_name]
    padded = padded_weights(weight, config)
    packed = pack_matrix(padded, config, packing)
    shape = (weight.shape[0], weight.shape[1])
    return figures("m", shape, padded.weight, packed.streams, config)


@pytest.mark.parametrize(
    ("counts", "bits"), [([1], 0), ([0, 7, 0], 0), ([1, 1, 1, 1], 2), ([8, 4, 4, 0], 1.5), ([], 0)]
)
def test_entropy_of_known_counts(counts: list[int], bits: float) -> None:
    assert value_entropy(np.array(counts, np.int64)) == pytest.approx(bits)


@pytest.mark.parametrize("config_name", list(CONFIGURATIONS))
@pytest.mark.parametrize("shape", [(64, 128), (40, 50), (1, 1)])
def test_raw_against_its_closed_form(config_name: str, shape: tuple[int, int]) -> None:
    """A byte per padded weight and a preamble per port; 8 bytes of header per padded channel."""
    config, weight = CONFIGURATIONS[config_name], integers(*shape)
    part = measured(weight, "raw", config_name)
    rows, columns = padded_weights(weight, config).weight.shape
    assert rows % config.width == columns % config.width == 0
    assert part.payload_bits == 8 * rows * columns + 128 * config.ports
    assert part.header_bits == 64 * rows
    values = part.to_dict()
    assert values["bits_per_weight"] == pytest.approx(part.payload_bits / weight.size)
    assert values["header_bits_per_weight"] == pytest.approx(64 * rows / weight.size)
    assert values["ratio"] == pytest.approx(8 / values["bits_per_weight"])
    assert (values["name"], values["shape"], values["codec"]) == ("m", list(shape), "raw")
    assert values["chunk"] == 1


@pytest.mark.parametrize("packing", PACKINGS)
def test_everything_but_headers_counts(packing: str) -> None:
    config, weight = CONFIGURATIONS["small"], integers(64, 96)
    padded = padded_weights(weight, config)
    packed = pack_matrix(padded, config, packing)
    part = figures("m", (64, 96), padded.weight, packed.streams, config)
    assert part.payload_bits == 8 * packed.payload_bytes
    assert part.header_bits == 8 * packed.header_bytes
    assert part.codec == packed.codec.name.lower()


def test_padding_is_no_weight_in_the_entropy() -> None:
    weight = integers(33, 65)
    for packing in PACKINGS:
        counts = np.unique(weight, return_counts=True)[1]
        assert measured(weight, packing).entropy_bits == pytest.approx(value_entropy(counts))


def test_unique_chunks_are_those_of_the_codecs_chunk() -> None:
    single = integers(64, 64, levels=60)
    pairs = np.where(np.arange(64) % 2 == 0, integers(64, 64, 1), 7).astype(np.int8)
    for weight, chunk in ((single, 1), (pairs, 2)):
        part = measured(weight, "dictionary")
        assert (part.codec, part.chunk) == ("dictionary", chunk)
        found = {tuple(run) for run in weight.reshape(-1, chunk).tolist()}
        assert part.unique_chunks == len(found)
    assert measured(pairs, "rice").unique_chunks == len(np.unique(pairs))


def test_totals_weigh_matrices_by_size() -> None:
    small, large = integers(32, 32, 1), integers(64, 96, 60)
    parts = [measured(small, "rice"), measured(large, "rice")]
    values = total(parts)
    assert (values["matrices"], values["weights"]) == (2, 1024 + 6144)
    assert values["codecs"] == {"rice": 2}
    for name in ("bits_per_weight", "header_bits_per_weight", "entropy_bits", "unique_chunks"):
        each = [part.to_dict()[name] for part in parts]
        mean = (each[0] * 1024 + each[1] * 6144) / 7168
        assert values[name] == pytest.approx(mean)
    assert values["ratio"] == pytest.approx(8 / values["bits_per_weight"])


def test_a_row_has_every_packing() -> None:
    config, weight = CONFIGURATIONS["small"], integers(64, 64)
    padded = padded_weights(weight, config)
    found = {
        packing: [figures("m", (64, 64), weight, packed.streams, config)]
        for packing, packed in pack_every_way(padded, config).items()
    }
    row = table_row(found)
    assert list(row) == ["entropy", *PACKINGS]
    # `auto` looks at the largest stream of a port, not at their sum.
    assert row["auto"] in (row["raw"], row["dictionary"], row["rice"])
    assert row["entropy"] < row["auto"] < row["raw"]
