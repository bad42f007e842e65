# SPDX-License-Identifier: Apache-2.0
"""Steps of words, of rotations, of tables and of gates, where the quantiser chooses them."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.quantise.calibrate import calibrate
from meadow.compiler.quantise.quantise import quantise
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.spec.config import named_config
from meadow.spec.model import ModelDescription

TINY = named_config("tiny")
RANDOM_TOKENS = np.random.default_rng(salted(21)).integers(0, 200, (8, 64))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_models_with_rotary_positions_and_a_gate(architecture: str) -> None:
    d = ModelDescription.of_family(
        architecture,
        layers=2,
        width=72,
        heads=9,
        kv_heads=3,
        head_dim=8,
        hidden=172,
        vocabulary=200,
        max_positions=64,
        bos_token=1,
        eos_token=2,
    )
    made = random_checkpoint(d, seed=7)
    statistics = calibrate(made, RANDOM_TOKENS)
    model = quantise(made, statistics, hidden_block=60)
    for index, layer in enumerate(model.layers):
        assert 1 <= layer.gate_shift <= 31 and 15 <= layer.rotary_shift <= 31
        assert layer.activation_table is not None
        # The range of the table is used: its largest entry is the largest activation seen.
        assert 20_000 < layer.activation_table.max() <= 32_767
        # What is turned has room for the square root of 2 above what was seen, not for twice that.
        bits = layer.rotary_shift - 14
        largest = max(
            float((statistics.site(f"layers.{index}.{p}_linear") / step).max())
            for p in "qk"
            for step in [statistics.step(f"layers.{index}.{p}_out")]
        )
        assert 0.35 * 32767 < largest * 2**bits * 2**0.5 <= 32767
    assert model.rotary is not None and model.rotary.shape == (64, 4, 2)
    assert model.rotary[0].tolist() == [[1 << 14, 0]] * 4


def test_what_feeds_a_matrix_uses_the_range_of_words() -> None:
    """The largest value of a site is 127 * 2^7 on the calibration text."""
    checkpoint = random_checkpoint(opt_description(vocabulary=200, tied_head=False), seed=7)
    tier = BitTrueModel(quantise(checkpoint, calibrate(checkpoint, RANDOM_TOKENS)), TINY)
    seen: dict[str, int] = {}

    def observe(site: str, array: np.ndarray) -> None:
        seen[site] = max(seen.get(site, 0), int(np.abs(array.astype(np.int64)).max()))

    for tokens in RANDOM_TOKENS:
        tier.forward(tokens, observe=observe)
    sites = [f"layers.{i}.{name}" for i in range(2) for name in ("qkv_in", "fc1_in", "fc2_in")]
    for site in [*sites, "head_in"]:
        assert 0.9 * 127 * 128 < seen[site] <= 127 * 128, (site, seen[site])
