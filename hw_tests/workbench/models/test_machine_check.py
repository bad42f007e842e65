# SPDX-License-Identifier: Apache-2.0
"""The sample that the machine computes: equal for the tier itself, and a fault of it is seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.compiler.quantise.text_figures import Window
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.prefix import QuantisedPrefix
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import named_config
from workbench.models.machine_check import check_with_machine

RANDOM = np.random.default_rng(salted(29))
TINY = named_config("tiny")
WINDOWS = [Window(np.array([1, *RANDOM.integers(2, 20, 20)]), 2) for _ in range(3)]


def model_of(architecture: str, *, prefix: bool) -> QuantisedModel:
    model = random_model(family_description(architecture))
    if not prefix:
        return model
    keys, values = RANDOM.integers(-127, 128, (2, 2, 2, 1, 8)).astype(np.int8)
    return dataclasses.replace(model, prefix=QuantisedPrefix(tokens=(1,), keys=keys, values=values))


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("architecture", ["opt", "llama", "qwen2"])
def test_the_machine_computes_what_the_tier_computes(architecture: str, prefix: bool) -> None:
    model = model_of(architecture, prefix=prefix)
    stream = IntegerStream(BitTrueModel(model, TINY))
    found = check_with_machine(stream, model, WINDOWS, TINY, "tiny")
    assert found == {"windows": 2, "tokens": 32, "logits": 40}


def test_a_difference_in_the_last_layer_is_seen() -> None:
    model = model_of("llama", prefix=False)

    class Wrong(IntegerStream):
        def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
            return super().layer(index, rows) + np.int16(200 * (index == 1))

    stream = Wrong(BitTrueModel(model, TINY))
    with pytest.raises(ValueError, match="tier must equal the machine; .* logits of window 0"):
        check_with_machine(stream, model, WINDOWS, TINY, "tiny")
