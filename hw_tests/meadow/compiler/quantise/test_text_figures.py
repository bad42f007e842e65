# SPDX-License-Identifier: Apache-2.0
"""Figures of a text against their definitions, token by token; windows against the whole model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.quantise.text_figures import (
    FloatStream,
    TextFigures,
    Window,
    compare_on_text,
)
from meadow.golden.perplexity import perplexity
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.model import ModelDescription

RANDOM = np.random.default_rng(salted(8))


def model_of(d: ModelDescription, *, noise: float = 0.0) -> FloatModel:
    random = np.random.default_rng(salted(17))
    tensors = {}
    for name, shape in d.tensor_shapes.items():
        scale = 1.0 if "embed" in name or "norm" in name else 1.5 / math.sqrt(shape[-1])
        tensors[name] = random.normal(size=shape) * scale
        tensors[name] += noise * random.normal(size=shape) * scale
    return FloatModel(d, tensors, np.float64)


def by_definition(
    p_logits: np.ndarray, q_logits: np.ndarray, targets: np.ndarray
) -> dict[str, float]:
    loss_p = loss_q = divergence = 0.0
    agreements = 0
    for p_row, q_row, target in zip(p_logits.tolist(), q_logits.tolist(), targets, strict=True):
        p = [math.exp(value) for value in p_row]
        q = [math.exp(value) for value in q_row]
        p, q = [value / sum(p) for value in p], [value / sum(q) for value in q]
        loss_p -= math.log(p[target])
        loss_q -= math.log(q[target])
        divergence += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        agreements += p.index(max(p)) == q.index(max(q))
    n = len(targets)
    return {
        "float": math.exp(loss_p / n),
        "integer": math.exp(loss_q / n),
        "kl": divergence / n,
        "top1": agreements / n,
    }


def test_figures_are_those_of_their_definitions() -> None:
    p, q = RANDOM.normal(size=(150, 30)), RANDOM.normal(size=(150, 30))
    q[::2] = p[::2] + 0.1 * q[::2]
    targets = RANDOM.integers(0, 30, 150)
    figures = TextFigures()
    figures.add(p[:100] + 700, q[:100] - 700, targets[:100])  # a constant changes nothing
    figures.add(p[100:], q[100:], targets[100:])
    found, expected = figures.to_dict(), by_definition(p, q, targets)
    assert found["tokens"] == 150
    assert found["perplexity"]["float"] == pytest.approx(expected["float"])
    assert found["perplexity"]["integer"] == pytest.approx(expected["integer"])
    assert found["ratio"] == pytest.approx(expected["integer"] / expected["float"])
    assert found["kl_nats"] == pytest.approx(expected["kl"])
    assert found["top1_agreement"] == expected["top1"]
    assert 0.4 < found["top1_agreement"] < 1


@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_windows_are_what_the_whole_model_makes_of_them(architecture: str) -> None:
    d = family_description(architecture)
    model, other = model_of(d), model_of(d, noise=0.05)
    sequences = [RANDOM.integers(0, d.vocabulary, size) for size in (9, 14, 2)]
    shares: list[float] = []
    figures = compare_on_text(
        FloatStream(model),
        FloatStream(other),
        [Window(sequence) for sequence in sequences],
        advance=shares.append,
    )
    assert figures.tokens == 22 and sum(shares) == pytest.approx(1) and len(shares) == 15
    assert figures.reference_perplexity == pytest.approx(perplexity(model.forward, sequences))
    assert figures.measured_perplexity == pytest.approx(perplexity(other.forward, sequences))
    expected = by_definition(
        np.concatenate([model.forward(sequence)[:-1] for sequence in sequences]),
        np.concatenate([other.forward(sequence)[:-1] for sequence in sequences]),
        np.concatenate([sequence[1:] for sequence in sequences]),
    )
    assert figures.to_dict()["kl_nats"] == pytest.approx(expected["kl"]) and expected["kl"] > 0


def test_given_tokens_are_context_and_not_predicted() -> None:
    d = family_description("llama")
    model = model_of(d)
    tokens = RANDOM.integers(0, d.vocabulary, 12)
    figures = compare_on_text(FloatStream(model), None, [Window(tokens, given=5)])
    logits = model.forward(tokens)[4:-1]
    expected = by_definition(logits, logits, tokens[5:])
    assert figures.tokens == 7
    assert figures.reference_perplexity == pytest.approx(expected["float"])
    found = figures.to_dict()
    assert (found["ratio"], found["kl_nats"], found["top1_agreement"]) == (1, 0, 1)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one predicted token, not none"):
        TextFigures().to_dict()
    with pytest.raises(ValueError, match="at least one window, not none"):
        compare_on_text(FloatStream(model_of(family_description("llama"))), None, [])
    for given in (0, 3):
        with pytest.raises(ValueError, match=f"given and one that follows, not {given} of 3"):
            Window(np.arange(3), given)
    with pytest.raises(ValueError, match=r"a row for each of 2 tokens, not \[3, 4\] and \[3, 4\]"):
        TextFigures().add(np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(2, int))


def test_a_hopeless_model_has_an_infinite_perplexity_and_no_overflow() -> None:
    figures = TextFigures()
    logits = np.array([[0.0, -1e4]])
    figures.add(np.zeros((1, 2)), logits, np.array([1]))
    assert figures.measured_perplexity == math.inf == figures.ratio
    assert figures.reference_perplexity == pytest.approx(2)
