# SPDX-License-Identifier: Apache-2.0
"""Quantisation: scales, folds, robustness on awkward checkpoints, accuracy on the demo model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from hw_tests.marks import slow
from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint, load_checkpoint
from meadow.compiler.quantise.calibrate import CalibrationStatistics, calibrate
from meadow.compiler.quantise.quantise import quantise
from meadow.compiler.rotation.rotated import rotate_model
from meadow.golden.perplexity import perplexity
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.golden.tiers.integer_tier import IntegerModel
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import named_config
from meadow.spec.model import ModelDescription
from workbench.demo.stories import generate_stories

DEMO = Path(__file__).parents[4] / "workbench" / "demo" / "model"
DESCRIPTION = opt_description(vocabulary=200, tied_head=False)
TINY = named_config("tiny")
RANDOM_TOKENS = np.random.default_rng(salted(21)).integers(0, 200, (12, 64))


def _checkpoint(description: ModelDescription = DESCRIPTION) -> Checkpoint:
    return random_checkpoint(description, seed=7)


def _changed(checkpoint: Checkpoint, **changes: np.ndarray) -> Checkpoint:
    """The checkpoint with tensors replaced; `__` stands for a dot in a name."""
    changed = {name.replace("__", "."): array.astype(np.float32) for name, array in changes.items()}
    tensors = {**checkpoint.tensors, **changed}
    return dataclasses.replace(checkpoint, tensors=tensors)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return _checkpoint()


@pytest.fixture(scope="module")
def statistics(checkpoint: Checkpoint) -> CalibrationStatistics:
    return calibrate(checkpoint, RANDOM_TOKENS[:8])


def _error(checkpoint: Checkpoint, model: QuantisedModel) -> float:
    """Relative distance of the bit-true tier's logits from the float tier's, unseen tokens."""
    real = FloatModel(checkpoint.description, checkpoint.tensors)
    tier = BitTrueModel(model, TINY)
    distance, size = 0.0, 0.0
    for tokens in RANDOM_TOKENS[8:]:
        want = real.forward(tokens).astype(np.float64)
        distance += float(np.sum((tier.forward(tokens) * model.logits_scale - want) ** 2))
        size += float(np.sum(want**2))
    return (distance / size) ** 0.5


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_random_model_is_close_to_float(
    checkpoint: Checkpoint, statistics: CalibrationStatistics, granularity: str
) -> None:
    model = quantise(checkpoint, statistics, granularity=granularity, hidden_block=40)
    assert [block.inputs for block in model.layers[0].fc2] == [40, 40, 20]
    assert _error(checkpoint, model) < {"channel": 0.05, "tensor": 0.1}[granularity]


def test_granularity_is_seen_in_the_steps(
    checkpoint: Checkpoint, statistics: CalibrationStatistics
) -> None:
    rows = np.abs(quantise(checkpoint, statistics).layers[0].q.weight).max(axis=1)
    assert (rows == 127).all()
    model = quantise(checkpoint, statistics, granularity="tensor", hidden_block=50)
    rows = np.abs(model.layers[0].q.weight).max(axis=1)
    assert rows.max() == 127 and rows.min() < 100
    maxima = [np.abs(block.weight).max() for block in model.layers[0].fc2]
    assert max(maxima) == 127 and min(maxima) < 127  # one step for all hidden blocks


def test_tied_head(checkpoint: Checkpoint) -> None:
    tied = _checkpoint(dataclasses.replace(DESCRIPTION, tied_head=True))
    model = quantise(tied, calibrate(tied, RANDOM_TOKENS[:8]))
    assert _error(tied, model) < 0.05


def test_outlier_channels(checkpoint: Checkpoint) -> None:
    """Norm gains, V rows and hidden rows 60 times larger, undone by what reads them.

    A rotation brings all but the hidden rows together; of those, words keep the outliers apart.
    """
    t = checkpoint.tensors
    factor = np.ones(48)
    factor[[3, 17]] = 60
    hidden = np.ones(100)
    hidden[[5, 50, 99]] = 60
    changes = {}
    for name in "qkv":
        changes[f"layers__0__{name}__weight"] = t[f"layers.0.{name}.weight"] / factor
    for kind in ("weight", "bias"):
        changes[f"layers__0__attention_norm__{kind}"] = (
            t[f"layers.0.attention_norm.{kind}"] * factor
        )
        changes[f"layers__1__fc1__{kind}"] = (t[f"layers.1.fc1.{kind}"].T * hidden).T
    changes["layers__0__v__weight"] = (changes["layers__0__v__weight"].T * factor).T
    changes["layers__0__v__bias"] = t["layers.0.v.bias"] * factor
    changes["layers__0__o__weight"] = t["layers.0.o.weight"] / factor
    changes["layers__1__fc2__weight"] = t["layers.1.fc2.weight"] / hidden
    rough = _changed(checkpoint, **changes)
    plain = _error(rough, quantise(rough, calibrate(rough, RANDOM_TOKENS[:8])))
    tensors = rotate_model(rough.description, rough.tensors)
    rotated = dataclasses.replace(rough, description=tensors.description, tensors=tensors)
    turned = _error(rough, quantise(rotated, calibrate(rotated, RANDOM_TOKENS[:8])))
    assert turned < 0.2 < plain


def test_silent_rows_and_channels(checkpoint: Checkpoint) -> None:
    """Zero rows with and without bias, a dead norm channel, a dead head, a token of zeros."""
    t = {name: array.copy() for name, array in checkpoint.tensors.items()}
    t["layers.0.q.weight"][4] = t["layers.0.q.bias"][4] = 0
    t["layers.0.k.weight"][5] = 0
    t["layers.0.v.weight"][:16] = t["layers.0.v.bias"][:16] = 0
    t["layers.0.fc1.weight"][7] = 0
    t["layers.0.fc1.bias"][7] = -1
    t["layers.1.fc1.weight"][8] *= 1e-9
    t["layers.1.fc2.weight"][9] = t["layers.1.fc2.bias"][9] = 0
    t["layers.1.mlp_norm.weight"][3] = t["layers.1.mlp_norm.bias"][3] = 0
    t["head"][11] = 0
    awkward = dataclasses.replace(checkpoint, tensors=t)
    model = quantise(awkward, calibrate(awkward, RANDOM_TOKENS[:8]))
    q = model.layers[0].q
    assert not q.weight[4].any()
    assert (q.bias[4], q.multiplier[4], q.shift[4]) == (0, 0, 1)
    assert model.layers[0].k.bias[5] != 0
    assert not model.layers[0].fc1.weight[7].any() and model.layers[0].fc1.bias[7] < 0
    assert _error(awkward, model) < 0.05
    assert not BitTrueModel(model, TINY).forward(RANDOM_TOKENS[9])[:, 11].any()


def test_model_of_zeros(checkpoint: Checkpoint) -> None:
    zeros = {name: np.zeros_like(array) for name, array in checkpoint.tensors.items()}
    empty = dataclasses.replace(checkpoint, tensors=zeros)
    model = quantise(empty, calibrate(empty, RANDOM_TOKENS[:1]))
    assert not BitTrueModel(model, TINY).forward(RANDOM_TOKENS[0]).any()


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_any_scale_of_the_residual(checkpoint: Checkpoint, scale: float) -> None:
    """A residual stream in other units is the same model, but for the norm's epsilon."""
    changes = {
        name.replace(".", "__"): array * scale
        for name, array in checkpoint.tensors.items()
        if name.startswith("embed") or ".o." in name or ".fc2." in name
    }
    scaled = _changed(checkpoint, **changes)
    assert _error(scaled, quantise(scaled, calibrate(scaled, RANDOM_TOKENS[:8]))) < 0.05


def test_embedding_beyond_the_calibrated_range(checkpoint: Checkpoint) -> None:
    """A token that calibration never saw must not saturate the residual."""
    t = {name: array.copy() for name, array in checkpoint.tensors.items()}
    unseen = int(np.setdiff1d(np.arange(200), RANDOM_TOKENS[0])[0])
    t["embed_tokens"][unseen] *= 40
    rough = dataclasses.replace(checkpoint, tensors=t)
    model = quantise(rough, calibrate(rough, RANDOM_TOKENS[:1]))
    row = model.embed(np.array([unseen]), np.array([3]))[0] * model.residual_scale
    want = t["embed_tokens"][unseen] + t["embed_positions"][5]
    assert np.abs(row - want).max() <= model.residual_scale


def test_refused_options(checkpoint: Checkpoint, statistics: CalibrationStatistics) -> None:
    with pytest.raises(ValueError, match="granularity must be one of channel, tensor, not 'row'"):
        quantise(checkpoint, statistics, granularity="row")
    with pytest.raises(ValueError, match="hidden_block must be at least 1, not 0"):
        quantise(checkpoint, statistics, hidden_block=0)
    with pytest.raises(ValueError, match="residual_headroom must be at least 1, not 0.5"):
        quantise(checkpoint, statistics, residual_headroom=0.5)
    with pytest.raises(ValueError, match="logits_headroom must be at least 1, not nan"):
        quantise(checkpoint, statistics, logits_headroom=float("nan"))


def test_scale_beyond_the_multiplier_names_the_matrix(
    checkpoint: Checkpoint, statistics: CalibrationStatistics
) -> None:
    """Statistics of a quiet run with a matrix that is far too loud for them."""
    loud = _changed(checkpoint, layers__1__q__weight=checkpoint.tensors["layers.1.q.weight"] * 1e9)
    with pytest.raises(ValueError, match=r"requantisation scale of layers\.1\.q must be finite"):
        quantise(loud, statistics)


@pytest.fixture(scope="module")
def demo() -> tuple[Checkpoint, CalibrationStatistics, list[np.ndarray]]:
    """The demo model, its statistics on fresh stories, and 24 of its held-out stories."""
    checkpoint = load_checkpoint(DEMO)
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    stories = generate_stories(seed=salted(77), count=48)
    statistics = calibrate(checkpoint, [tokenizer.encode(story).ids for story in stories])
    lines = (DEMO / "heldout.txt").read_text(encoding="utf-8").splitlines()
    heldout = [np.array(tokenizer.encode(line).ids[:256]) for line in lines[:24]]
    return checkpoint, statistics, heldout


@pytest.mark.parametrize(("granularity", "limit"), [("channel", 0.005), slow("tensor", 0.01)])
def test_demo_perplexity(
    demo: tuple[Checkpoint, CalibrationStatistics, list[np.ndarray]],
    granularity: str,
    limit: float,
) -> None:
    checkpoint, statistics, heldout = demo
    model = quantise(checkpoint, statistics, granularity=granularity, hidden_block=256)
    integer, hardware = IntegerModel(model, width=TINY.width), BitTrueModel(model, TINY)
    real = FloatModel(checkpoint.description, checkpoint.tensors)
    reference = perplexity(real.forward, heldout)
    scale = model.logits_scale
    for tier in (integer, hardware):
        measured = perplexity(lambda tokens, tier=tier: tier.forward(tokens) * scale, heldout)
        assert abs(measured / reference - 1) < limit, (type(tier).__name__, measured, reference)
    same = [hardware.forward(t).argmax(axis=1) == real.forward(t).argmax(axis=1) for t in heldout]
    assert np.concatenate(same).mean() > 0.97
