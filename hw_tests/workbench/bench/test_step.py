# SPDX-License-Identifier: Apache-2.0
"""Presets, segments and comparison of a bench step, without a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Outputs
from meadow.spec.config import named_config
from meadow.spec.families import FAMILIES
from workbench.bench.step import Check, preset_cache, segments

TINY = named_config("tiny")


def compiled(name: str, **sizes: int) -> tuple[QuantisedModel, Image]:
    model = synthetic_model(family_description(name, **sizes), seed=salted(2))
    return model, compile_image(model, TINY, config_name="tiny", tokenizer_json="{}")


def test_a_check_counts_and_keeps_the_first_difference() -> None:
    check = Check()
    rows = np.arange(12).reshape(3, 4)
    check.compare("rows", rows, rows)
    assert check.difference is None
    wrong = rows.copy()
    wrong[1, 2] = wrong[2, 0] = -7
    check.compare("rows", wrong, rows)
    check.compare("others", rows[0] + 1, rows[0])
    assert check.difference == "rows [1, 2]: -7, golden 6, 2 of 12 differ"
    assert check.counts == {"rows": 24, "others": 4} and check.total == 28


@pytest.mark.parametrize("name", FAMILIES)
def test_segments_are_the_whole_program(name: str) -> None:
    _, image = compiled(name)
    parts = segments(image.manifest)
    assert list(parts) == ["before", "layers", "after"]
    ends = [first + count for first, count in parts.values()]
    assert [first for first, _ in parts.values()] == [0, *ends[:-1]]
    assert ends[-1] == image.manifest.commands
    first, count = parts["layers"]
    labels = image.manifest.labels
    assert all(label.startswith("layers.") for label in labels[first : first + count])
    assert not any(
        label.startswith("layers.") for label in labels[:first] + labels[first + count :]
    )


@pytest.mark.parametrize(
    "sizes", [{"head_dim": 8}, {"head_dim": 16}, {"head_dim": 24}, {"head_dim": 40}]
)
def test_a_preset_cache_is_as_if_the_tokens_had_been_taken_in(sizes: dict[str, int]) -> None:
    """The golden device continues from the window, the model from its cache: heads below, of and
    above W.
    """
    model, image = compiled("llama", **sizes)
    golden = BitTrueModel(model, TINY)
    device = GoldenDevice(TINY, Session.window_bytes(image, 2))
    session = Session(device, image, sequences=2)
    random = np.random.default_rng(salted(5))
    expected = []
    for sequence, position in enumerate((7, 20)):
        cache = golden.new_cache()
        preset_cache(random, cache, device.memory, image.manifest, sequence, position)
        session.positions[sequence] = position
        expected.append(golden.forward([3, 4], cache))
        assert cache.length == position + 2
    result = session.step({0: [3, 4], 1: [3, 4]}, outputs=Outputs.LOGITS, head_all=True)
    assert result.logits is not None
    assert np.array_equal(result.logits, np.concatenate(expected))
