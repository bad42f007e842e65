# SPDX-License-Identifier: Apache-2.0
"""Synthetic models: alive at every site, compressible like trained ones, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.meadow.compiler.family_models import describe
from hw_tests.seeds import salted
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.quantised import QuantisedLinear, QuantisedModel
from meadow.spec.config import named_config
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription


def small(family: str) -> ModelDescription:
    sizes = {"kv_heads": 2} if FAMILIES[family].grouped_keys else {}
    return describe(family, heads=4, head_dim=24, hidden=300, layers=3, vocabulary=90, **sizes)


def entropy(matrix: QuantisedLinear) -> float:
    """Bits per weight, order 0."""
    share = np.bincount(matrix.weight.reshape(-1).astype(np.int64) + 127) / matrix.weight.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_stay_alive(family: str) -> None:
    model = synthetic_model(small(family), hidden_block=128, seed=salted(4))
    seen: dict[str, np.ndarray] = {}
    tokens = np.random.default_rng(salted(1)).integers(0, 90, 60)
    BitTrueModel(model, named_config("tiny")).forward(
        tokens, observe=lambda site, array: seen.setdefault(site, array)
    )
    residuals = int8 = words = 0
    for site, array in seen.items():
        spread = float(array.std())
        if "residual" in site or site == "embedding":
            residuals += 1
            assert 1500 < spread < 3500, site
        elif array.dtype == np.int8:
            int8 += 1
            assert 12 < spread < 55, site
            assert (np.abs(array.astype(int)) == 127).mean() < 0.1, site
        elif site.endswith(("_in", "activation")):
            words += 1
            low, high = (1200, 8500) if site[-4:] in ("2_in", "tion", "o_in") else (300, 900)
            assert low < spread < high, site
            assert (np.abs(array.astype(int)) >= 127 << 7).mean() < 0.1, site
    assert residuals >= 7 and int8 >= 9 and words >= 12


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_reaches_127_once_and_has_small_weights(family: str) -> None:
    for layer in synthetic_model(small(family), hidden_block=128, seed=salted(0)).layers:
        fc2 = np.concatenate([block.weight for block in layer.fc2], axis=1)
        assert [block.weight.shape[1] for block in layer.fc2] == [128, 128, 44]
        others = [layer.q, layer.k, layer.v, layer.o, layer.fc1, *([layer.up] if layer.up else [])]
        for weight in (fc2, *(matrix.weight for matrix in others)):
            assert np.abs(weight.astype(int)).max() == 127
            assert 1 < weight.std() < 45


def test_large_matrices_compress_like_trained_ones() -> None:
    d = describe("opt", heads=16, head_dim=64, hidden=4096)
    layer = synthetic_model(d, hidden_block=4096, seed=salted(0)).layers[0]
    for matrix, low, high in (
        (layer.q, 4.5, 6.8),
        (layer.v, 3.5, 6.8),
        (layer.fc1, 4, 6.8),
        (layer.fc2[0], 1.5, 4.8),
    ):
        assert low < entropy(matrix) < high
    assert entropy(layer.fc2[0]) < entropy(layer.fc1)


def test_rotary_table_and_what_llama_has_none_of() -> None:
    model = synthetic_model(small("llama"), seed=salted(0))
    assert model.rotary is not None and model.embed_positions is None
    assert (model.rotary[0] == [1 << 14, 0]).all()
    angle = np.arange(150)[:, None] * 10000.0 ** (-np.arange(0, 24, 2) / 24)
    assert np.abs(model.rotary[..., 0] - np.cos(angle) * (1 << 14)).max() <= 0.5
    assert np.abs(model.rotary[..., 1] - np.sin(angle) * (1 << 14)).max() <= 0.5
    for layer in model.layers:
        assert not any(m.bias.any() for m in (layer.q, layer.k, layer.v, layer.o, layer.fc1))
        assert not layer.attention_norm.offset.any() and layer.attention_norm.rms


def weights(model: QuantisedModel) -> list[np.ndarray]:
    return [layer.fc1.weight for layer in model.layers]


def test_seeds() -> None:
    first, same, other = (synthetic_model(small("opt"), seed=salted(seed)) for seed in (1, 1, 2))
    for a, b, c in zip(weights(first), weights(same), weights(other), strict=True):
        assert (a == b).all() and (a != c).any()
