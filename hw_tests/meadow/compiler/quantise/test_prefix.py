# SPDX-License-Identifier: Apache-2.0
"""The prefix: which first tokens are sinks, and their keys and values in integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.accuracy import measure_accuracy
from meadow.compiler.quantise.calibrate import calibrate
from meadow.compiler.quantise.prefix import first_token_is_sink, quantised_prefix
from meadow.compiler.quantise.quantise import quantise
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.config import named_config

LLAMA = family_description("llama", width=24, heads=6, kv_heads=2, head_dim=8)
TEXTS = np.random.default_rng(salted(3)).integers(3, 20, (4, 20))


def checkpoint(sink: float = 0.0) -> Checkpoint:
    """A random model whose token 1 has one channel of that size."""
    made = random_checkpoint(LLAMA, seed=9)
    tensors = {name: array.copy() for name, array in made.tensors.items()}
    tensors["embed_tokens"][1, 5] += sink
    return dataclasses.replace(made, tensors=tensors)


@pytest.mark.parametrize(("sink", "found"), [(0.0, False), (500.0, True)])
def test_a_token_far_beyond_the_others_is_a_sink(sink: float, found: bool) -> None:
    assert first_token_is_sink(checkpoint(sink), (1,), TEXTS[0]) is found


def test_a_loud_channel_of_every_token_makes_no_sink() -> None:
    made = checkpoint()
    made.tensors["embed_tokens"][:, 5] += 500
    assert not first_token_is_sink(made, (1,), TEXTS[0])


def test_rows_are_those_of_the_float_model_in_steps() -> None:
    made = checkpoint(500.0)
    statistics = calibrate(made, TEXTS, prefix=(1, 4))
    prefix = quantised_prefix(statistics, LLAMA)
    assert prefix is not None and prefix.tokens == (1, 4)
    prefix.check(LLAMA)
    model = FloatModel(LLAMA, made.tensors, np.float64)
    cache = model.new_cache(2)
    model.forward([1, 4], cache)
    for rows, exact, kind in (
        (prefix.keys, cache.keys, "k_out"),
        (prefix.values, cache.values, "v_out"),
    ):
        steps = np.stack([statistics.step(f"layers.{i}.{kind}").reshape(2, 1, 8) for i in range(2)])
        error = np.abs(rows * steps - exact)
        clipped = np.abs(exact) > 127 * steps
        assert (
            rows.any()
            and (error[~clipped] <= 0.51 * np.broadcast_to(steps, error.shape)[~clipped]).all()
        )
        assert (np.abs(rows)[clipped] == 127).all()


def test_ranges_leave_the_prefix_out_but_for_k_and_v() -> None:
    made = checkpoint(500.0)
    kept, sent = (
        calibrate(made, TEXTS, prefix=(1,)),
        calibrate(made, np.insert(TEXTS, 0, 1, axis=1)),
    )
    assert kept.residual < 50 and sent.residual > 400
    assert (kept.tokens, sent.tokens) == (80, 84)
    assert quantised_prefix(sent, LLAMA) is None
    for site in ("layers.0.k_out", "layers.1.v_out"):
        assert np.array_equal(kept.site(site), sent.site(site))
    assert (kept.site("layers.0.qkv_in") <= sent.site("layers.0.qkv_in")).all()
    assert np.array_equal(kept.step("layers.1.v_out"), sent.step("layers.1.v_out"))


def test_a_model_that_is_not_causal_has_none() -> None:
    vit = random_checkpoint(family_description("vit"), seed=9)
    with pytest.raises(ValueError, match="a model that is not causal must have no prefix"):
        calibrate(vit, TEXTS, prefix=(1,))


def test_a_prefix_is_in_no_figure() -> None:
    """A sink that would take the whole range: as the prefix it is in float, and not counted."""
    d = opt_description(vocabulary=200, max_positions=48)
    model = random_checkpoint(d, seed=7, embedding=0.7, heavy_tails=False)
    model.tensors["embed_positions"][2, 11] += 100_000
    text = np.random.default_rng(salted(21)).integers(0, 200, (12, 40))
    statistics = calibrate(model, text, prefix=(1,))
    tier = BitTrueModel(quantise(model, statistics), named_config("tiny"))
    real = FloatModel(d, model.tensors, np.float64)
    behind = [np.concatenate([[1], ids]) for ids in text]
    found = measure_accuracy(real, tier, behind, statistics, tokens=100)
    assert (found.tokens, found.sinks, found.warnings) == (100, 0, ())
