# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a quantised model: planted faults are named by layer, sound models stay silent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from hw_tests.models import family_description, random_model
from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint, load_checkpoint
from meadow.compiler.quantise.accuracy import Accuracy, measure_accuracy
from meadow.compiler.quantise.calibrate import CalibrationStatistics, calibrate
from meadow.compiler.quantise.error_figures import Yardstick
from meadow.compiler.quantise.quantise import quantise
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.config import named_config
from meadow.spec.families import FAMILIES
from workbench.demo.stories import generate_stories

DEMO = Path(__file__).parents[4] / "workbench" / "demo" / "model"
TINY = named_config("tiny")
DESCRIPTION = opt_description(layers=3, hidden=96, vocabulary=200, max_positions=48)
TEXT = np.random.default_rng(salted(21)).integers(0, 200, (12, 40))

Tensors = dict[str, np.ndarray]
Change = Callable[[Tensors], None]


def checkpoint(change: Change | None = None) -> Checkpoint:
    """A random decoder with unit activations, after `change` has had its tensors."""
    made = random_checkpoint(DESCRIPTION, seed=7, embedding=0.7, heavy_tails=False)
    if change is not None:
        change(made.tensors)
    return made


def measure(
    model: Checkpoint,
    *,
    text: np.ndarray = TEXT,
    seen: Callable[[Tensors], None] | None = None,
    steps: Callable[[Tensors], None] | None = None,
    granularity: str = "channel",
    context: int | None = None,
) -> Accuracy:
    """Calibrate, quantise and measure; `seen` and `steps` change the calibrated maxima and steps in
    between.
    """
    found = calibrate(model, text)
    maxima, own = (
        {site: values.copy() for site, values in part.items()}
        for part in (found.maxima, found.steps)
    )
    for change, values in ((seen, maxima), (steps, own)):
        if change is not None:
            change(values)
    statistics = dataclasses.replace(found, maxima=maxima, steps=own)
    quantised = quantise(model, statistics, granularity=granularity, hidden_block=32)
    real = FloatModel(model.description, model.tensors, np.float64)
    tier = BitTrueModel(quantised, TINY)
    return measure_accuracy(real, tier, list(text), statistics, context=context)


def gain(name: str, factor: float) -> Change:
    def change(tensors: Tensors) -> None:
        tensors[f"{name}.weight"][7] *= factor

    return change


def huge_channel(name: str, amount: float) -> Change:
    def change(tensors: Tensors) -> None:
        tensors[name][..., 5] += amount

    return change


def sink(tensors: Tensors) -> None:
    """Position 0 has a massive activation."""
    tensors["embed_positions"][2, 11] += 60


def loud_head(tensors: Tensors) -> None:
    for part in "qk":
        tensors[f"layers.1.{part}.weight"][16:32] *= 30


def test_a_sound_model_stays_silent() -> None:
    found = measure(checkpoint())
    assert found.warnings == ()
    assert (found.tokens, found.sinks, found.centred) == (480, 0, True)
    assert [layer.name for layer in found.layers] == [
        *("embedding", "layers.0", "layers.1", "layers.2", "head")
    ]
    assert all(layer.figures.cosine_worst > 0.98 for layer in found.layers)
    assert measure(checkpoint()).to_dict() == found.to_dict()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


@pytest.mark.parametrize("factor", [1e3, 1e6])
@pytest.mark.parametrize(
    ("norm", "unit"),
    [
        ("layers.0.mlp_norm", "layers.0.mlp"),
        ("layers.1.mlp_norm", "layers.1.mlp"),
        ("layers.2.mlp_norm", "layers.2.mlp"),
        ("final_norm", "head"),
    ],
)
def test_one_huge_norm_gain_is_named(norm: str, unit: str, factor: float) -> None:
    found = measure(checkpoint(gain(norm, factor)))
    assert found.fault.unit.name == unit
    (warning,) = found.warnings
    assert f"{unit} is at fault" in warning and f"gain 7 of {norm} is" in warning


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_large_gain_in_front_of_attention_is_named(index: int) -> None:
    found = measure(checkpoint(gain(f"layers.{index}.attention_norm", 300)))
    assert found.fault.unit.name == f"layers.{index}.attention"
    assert found.warnings


@pytest.mark.parametrize("amount", [3e3, 1e5])
@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("embed_positions", "embedding"),
        ("layers.0.fc2.bias", "layers.0.mlp"),
        ("layers.1.o.bias", "layers.1.attention"),
        ("layers.1.fc2.bias", "layers.1.mlp"),
    ],
)
def test_a_huge_channel_of_the_residual_is_traced_to_who_writes_it(
    name: str, unit: str, amount: float
) -> None:
    found = measure(checkpoint(huge_channel(name, amount)))
    assert found.fault.unit.name == unit
    (warning,) = found.warnings
    assert f"{unit} is at fault" in warning and "channel 5 of the residual reaches" in warning


@pytest.mark.parametrize("index", [0, 2])
def test_a_saturating_mlp_is_named(index: int) -> None:
    def seen(maxima: Tensors) -> None:
        maxima[f"layers.{index}.fc2_in"] /= 20

    found = measure(checkpoint(), seen=seen)
    assert found.fault.unit.name == f"layers.{index}.mlp"
    assert found.warnings


def test_a_saturating_head_of_attention_is_named() -> None:
    def steps(found: Tensors) -> None:
        found["layers.1.v_out"][16:32] /= 30

    assert measure(checkpoint(), steps=steps).fault.unit.name == "layers.1.attention"


def test_a_head_of_huge_scores_is_named() -> None:
    assert measure(checkpoint(loud_head)).fault.unit.name == "layers.1.attention"


def test_a_sink_is_left_out_and_not_blamed() -> None:
    found = measure(checkpoint(sink))
    assert (found.sinks, found.sink_positions) == (len(TEXT), (0,))
    assert found.warnings == ()


def test_a_sink_hides_no_other_fault() -> None:
    def both(tensors: Tensors) -> None:
        sink(tensors)
        gain("layers.1.mlp_norm", 1e6)(tensors)

    def seen(maxima: Tensors) -> None:
        maxima["layers.2.fc2_in"] /= 20

    found = measure(checkpoint(both))
    assert found.sinks == len(TEXT) and found.fault.unit.name == "layers.1.mlp"
    assert measure(checkpoint(sink), seen=seen).fault.unit.name == "layers.2.mlp"


def test_a_sink_that_takes_the_whole_range_is_blamed() -> None:
    def massive(tensors: Tensors) -> None:
        tensors["embed_positions"][2, 11] += 10_000

    found = measure(checkpoint(massive))
    assert found.sinks == len(TEXT) and found.fault.unit.name == "embedding"
    assert "channel 11 of the residual reaches 1e+04" in found.warnings[0]


def test_what_to_try_depends_on_how_the_model_was_made() -> None:
    rough = checkpoint(gain("layers.1.mlp_norm", 1e6))
    assert "Try --granularity channel" in measure(rough, granularity="tensor").warnings[0]
    assert "Try text of the model's own kind" in measure(rough).warnings[0]


@pytest.mark.parametrize(("context", "tokens"), [(1, 12), (5, 60), (1000, 480)])
def test_sequences_are_cut_to_the_context(context: int, tokens: int) -> None:
    found = measure(checkpoint(), context=context)
    assert found.tokens == tokens
    assert found.warnings == ()


def test_a_text_of_one_token_is_not_centred() -> None:
    found = measure(checkpoint(), text=np.full((3, 1), 17))
    assert (found.tokens, found.centred, found.sinks) == (3, False, 0)
    assert found.warnings == ()


def test_measured_tokens_are_bounded() -> None:
    model = checkpoint()
    statistics = calibrate(model, TEXT)
    real = FloatModel(DESCRIPTION, model.tensors)
    tier = BitTrueModel(quantise(model, statistics), TINY)
    found = measure_accuracy(real, tier, [[], *TEXT], statistics, tokens=101)
    assert found.tokens == 101
    with pytest.raises(ValueError, match="accuracy needs at least one token, not none"):
        measure_accuracy(real, tier, [[]], statistics)


def test_a_model_of_zeros_is_exact() -> None:
    def silence(tensors: Tensors) -> None:
        for array in tensors.values():
            array[:] = 0

    found = measure(checkpoint(silence))
    assert found.warnings == ()
    assert all(layer.figures.cosine_worst == 1.0 for layer in found.layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_accumulated_figures_are_those_of_the_whole_model(family: str) -> None:
    """Sublayer by sublayer in all families, and the same as an observed run of each tier.

    The float model is another one than the integers: the figures are bad, and must be equally so.
    """
    d = family_description(family)
    quantised = random_model(d)
    random = np.random.default_rng(salted(5))
    tensors = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in d.tensor_shapes.items()
    }
    text = random.integers(0, d.vocabulary, (4, 20))
    real, tier = FloatModel(d, tensors, np.float64), BitTrueModel(quantised, TINY)
    statistics = CalibrationStatistics(maxima={}, tokens=1)
    found = measure_accuracy(real, tier, list(text), statistics)
    assert found.centred and found.sinks == 0

    sites = {"embedding": "embedding"}
    sites |= {f"layers.{i}": f"layers.{i}.residual_mlp" for i in range(d.layers)}
    floats: dict[str, list[np.ndarray]] = {}
    integers: dict[str, list[np.ndarray]] = {}
    for tokens in text:
        for model, seen in ((real, floats), (tier, integers)):
            out = model.forward(
                tokens, observe=lambda s, a, seen=seen: seen.setdefault(s, []).append(a)
            )
            seen.setdefault("out", []).append(out)
    for layer in found.layers[:-1]:
        site = sites[layer.name]
        expected = Yardstick(floats[site]).figures(integers[site], quantised.residual_scale)
        assert layer.figures == expected, layer.name
    logits = d.outputs == "tokens"
    scale = quantised.logits_scale if logits else quantised.residual_scale
    head = Yardstick(floats["out"], relative=logits).figures(integers["out"], scale)
    assert found.layers[-1].figures == head


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_the_demo_model_stays_silent(granularity: str) -> None:
    model = load_checkpoint(DEMO)
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    text = [
        np.array(tokenizer.encode(story).ids) for story in generate_stories(seed=salted(5), count=6)
    ]
    statistics = calibrate(model, text)
    tier = BitTrueModel(quantise(model, statistics, granularity=granularity), TINY)
    real = FloatModel(model.description, model.tensors, np.float64)
    found = measure_accuracy(real, tier, text, statistics)
    assert found.warnings == () and found.sinks == 0
    assert found.layers[-1].figures.cosine_worst > 0.99
