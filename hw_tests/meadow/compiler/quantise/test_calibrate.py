# SPDX-License-Identifier: Apache-2.0
"""Calibration: maxima of every site, and the same whatever the order of sequences."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.calibrate import CalibrationStatistics, calibrate
from meadow.golden.tiers.float_tier import FloatModel

RANDOM_TOKENS = np.random.default_rng(salted(21)).integers(0, 200, (12, 64))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint(opt_description(vocabulary=200, tied_head=False), seed=7)


def test_calibration_keeps_maxima(checkpoint: Checkpoint) -> None:
    seen: dict[str, list[np.ndarray]] = {}
    model = FloatModel(checkpoint.description, checkpoint.tensors, np.float64)
    sequences = [RANDOM_TOKENS[0][:9], RANDOM_TOKENS[1][:5]]
    for tokens in sequences:
        model.forward(tokens, observe=lambda site, a: seen.setdefault(site, []).append(a))
    statistics = calibrate(checkpoint, [*sequences, np.array([], np.int64)])
    assert statistics.tokens == 14
    for site, arrays in seen.items():
        want = np.abs(np.concatenate(arrays)).max(axis=0).astype(np.float32)
        assert np.array_equal(statistics.site(site), want)
    residual = ["embedding", "layers.0.residual_attention", "layers.1.residual_mlp"]
    assert statistics.residual >= max(statistics.site(site).max() for site in residual)


def test_calibration_refuses(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="calibration needs at least one token, not none"):
        calibrate(checkpoint, [])
    broken = CalibrationStatistics(maxima={"logits": np.array([np.nan])}, tokens=1)
    with pytest.raises(ValueError, match="calibration maxima must be finite, not so at logits"):
        broken.site("logits")
    with pytest.raises(ValueError, match="statistics must hold the site head_in"):
        broken.site("head_in")


@pytest.mark.parametrize("family", ["opt", "llama", "qwen2", "vit", "bert"])
def test_every_site_of_every_family_is_seen(family: str) -> None:
    d = family_description(family)
    made = random_checkpoint(d, seed=7)
    tokens = RANDOM_TOKENS[:3, :20] % d.vocabulary
    statistics = calibrate(made, tokens)
    sites: set[str] = set()
    real = FloatModel(d, made.tensors, np.float64)
    real.forward(tokens[0], observe=lambda site, _: sites.add(site))
    assert set(statistics.maxima) == sites | {"logits"}
    steps = {f"layers.{i}.{part}_out" for i in range(d.layers) for part in "qkv"}
    assert set(statistics.steps) == steps


def test_the_order_of_sequences_does_not_matter(checkpoint: Checkpoint) -> None:
    one, other = (calibrate(checkpoint, RANDOM_TOKENS[order]) for order in ([0, 1, 2], [2, 0, 1]))
    for site, maxima in one.maxima.items():
        assert np.array_equal(maxima, other.maxima[site]), site
    for site, steps in one.steps.items():
        assert np.array_equal(steps, other.steps[site]), site


def test_sequences_are_cut_to_the_positions_there_are(checkpoint: Checkpoint) -> None:
    long = np.concatenate([RANDOM_TOKENS[0], RANDOM_TOKENS[1]])
    assert calibrate(checkpoint, [long]).tokens == 64
    assert calibrate(checkpoint, [long], prefix=(5, 6)).tokens == 62
