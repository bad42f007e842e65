# SPDX-License-Identifier: Apache-2.0
"""What is chosen for a model: rotations where they help, a prefix where the first token is a sink.

Three odd shapes of Llama and Qwen2, and OPT, of random weights.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.compiler.quantise.recipe import Quantisation, Recipe, quantise_on_text
from meadow.compiler.quantise.text_figures import FloatStream, Window, compare_on_text
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.config import named_config
from meadow.spec.model import ModelDescription

TINY = named_config("tiny")
RANDOM = np.random.default_rng(salted(21))
TEXTS = list(RANDOM.integers(3, 70, (14, 40)))
SHAPES: dict[str, dict[str, Any]] = {
    "width72": {"width": 72, "heads": 9, "kv_heads": 3, "head_dim": 8, "hidden": 172, "layers": 2},
    "narrow": {"width": 40, "heads": 5, "kv_heads": 1, "head_dim": 64, "hidden": 44, "layers": 1},
    "deep": {"width": 48, "heads": 2, "kv_heads": 2, "head_dim": 24, "hidden": 36, "layers": 4},
}


def described(architecture: str, shape: str) -> ModelDescription:
    sizes = SHAPES[shape] | {"vocabulary": 70, "max_positions": 64, "bos_token": 1, "eos_token": 2}
    tied = shape == "deep"
    divisors = (1.0, 2.0, 4.0, 8.0) if shape == "width72" else ()
    return ModelDescription.of_family(
        architecture, tied_head=tied, rotary_base=500.0, rotary_divisors=divisors, **sizes
    )


def changed(made: Checkpoint, *, sink: float = 0.0, loud: float = 0.0) -> Checkpoint:
    """With a channel of the first token, and one of all tokens, that are far larger."""
    tensors = {name: array.copy() for name, array in made.tensors.items()}
    tensors["embed_tokens"][made.description.bos_token, 5] += sink
    tensors["embed_tokens"][:, 7] += loud
    return dataclasses.replace(made, tensors=tensors)


def quantised(checkpoint: Checkpoint, **choices: Any) -> Quantisation:
    said: list[str] = []
    found = quantise_on_text(checkpoint, TEXTS[:10], TINY, Recipe(**choices), said.append)
    assert said
    return found


def divergence(checkpoint: Checkpoint, found: Quantisation) -> float:
    real = FloatStream(FloatModel(checkpoint.description, checkpoint.tensors))
    bos = checkpoint.description.bos_token
    windows = [Window(np.array([bos, *text]), 2) for text in TEXTS[10:]]
    measured = IntegerStream(BitTrueModel(found.model, TINY))
    return compare_on_text(real, measured, windows).to_dict()["kl_nats"]


@pytest.mark.parametrize("rotate", ["on", "off", "auto"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_models_like_llama_stay_near_to_float(architecture: str, shape: str, rotate: str) -> None:
    made = random_checkpoint(described(architecture, shape), seed=7)
    found = quantised(made, rotate=rotate)
    assert found.model.prefix is None
    assert rotate == "auto" or found.model.notes["rotated"] == (rotate == "on")
    # A head that is tied has logits three times as large.
    assert divergence(made, found) < (0.03 if made.description.tied_head else 5e-3)


@pytest.mark.parametrize("rotate", ["on", "off", "auto"])
@pytest.mark.parametrize("tied", [True, False])
def test_opt_stays_near_to_float(rotate: str, tied: bool) -> None:
    made = random_checkpoint(opt_description(tied_head=tied), seed=7)
    found = quantised(made, rotate=rotate, hidden_block=40)
    assert found.model.description.norm == ("rms" if found.model.notes["rotated"] else "layer")
    assert [block.inputs for block in found.model.layers[0].fc2] == [40, 40, 20]
    assert divergence(made, found) < 3e-3


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_sink_becomes_the_prefix(architecture: str) -> None:
    made = changed(random_checkpoint(described(architecture, "width72"), seed=7), sink=1e6)
    found, sent = quantised(made, rotate="on"), quantised(made, rotate="on", prefix="none")
    assert found.model.prefix is not None and found.model.prefix.tokens == (1,)
    assert found.model.notes["prefix"] == [1] and sent.model.prefix is None
    assert found.sequences[0][0] == sent.sequences[0][0] == 1
    assert divergence(made, found) < 5e-3 < 0.05 * divergence(made, sent)


def test_a_context_without_room_for_the_prefix_is_refused_before_the_work() -> None:
    made = changed(random_checkpoint(described("llama", "width72"), seed=7), sink=1e6)
    told: list[str] = []
    with pytest.raises(ValueError, match="prefix of the model and at least 1 token more, 2 in all"):
        quantise_on_text(made, TEXTS, TINY, Recipe(context=1), told.append)
    assert told == []


def test_a_rotation_is_kept_where_it_helps() -> None:
    plain = random_checkpoint(described("llama", "width72"), seed=7)
    loud = changed(plain, loud=60)
    found = quantised(loud)
    assert found.model.notes["rotated"]
    assert divergence(loud, found) < 0.8 * divergence(loud, quantised(loud, rotate="off"))
    rows = RANDOM.normal(size=(5, 72)).astype(np.float32)
    turned = found.turned(rows)
    assert turned.dtype == np.float32 and np.abs(turned - rows).max() > 0.1
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(rows, axis=1), rtol=1e-5
    )
    same = quantised(loud, rotate="off")
    assert same.turned(rows) is rows


def test_a_model_that_cannot_be_rotated_stays_as_it_is() -> None:
    """A final norm with an offset where its gain is 0: no head takes that in."""
    made = random_checkpoint(opt_description(), seed=7)
    made.tensors["final_norm.weight"][3] = 0
    assert quantised(made).model.notes["rotated"] is False
    with pytest.raises(ValueError, match="must have a gain where it has an offset"):
        quantised(made, rotate="on")


def test_choices_and_texts_are_checked() -> None:
    with pytest.raises(ValueError, match="rotate must be one of auto, on, off, not 'yes'"):
        Recipe(rotate="yes")
    with pytest.raises(ValueError, match="prefix must be one of auto, none, not 'all'"):
        Recipe(prefix="all")
    made = random_checkpoint(opt_description(), seed=7)
    with pytest.raises(ValueError, match="calibration needs at least one token, not none"):
        quantise_on_text(made, [np.array([], np.int64)], TINY, Recipe(), print)
