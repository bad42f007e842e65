# SPDX-License-Identifier: Apache-2.0
"""Emulated formats: none of them is the float model, each one costs something, the prefix saves."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.quantise.emulation import (
    EmulatedStream,
    Formats,
    Ranges,
    emulated_ranges,
)
from meadow.compiler.quantise.text_figures import FloatStream, Window, compare_on_text
from meadow.compiler.rotation.rotated import rotate_model
from meadow.golden.tiers.float_tier import FloatModel

D = family_description("qwen2", width=32, heads=4, kv_heads=2, head_dim=8, hidden=48)
_OTHERS = ("weights", "heads", "residual", "table", "probabilities")
NONE = Formats(word_exponents=True, **dict.fromkeys(_OTHERS, False))
RANDOM = np.random.default_rng(salted(31))
WINDOWS = [Window(np.array([1, *RANDOM.integers(2, 20, 24)]), given=2) for _ in range(4)]


def model(*, sink: float = 0.0) -> FloatModel:
    """A random model; with a sink, token 1 has one channel that is far larger than all others."""
    random = np.random.default_rng(salted(17))
    tensors = {}
    for name, shape in D.tensor_shapes.items():
        scale = 1.0 if "embed" in name else 1.2 / math.sqrt(shape[-1])
        around = 1.0 if "norm" in name else 0.0
        tensors[name] = around + random.normal(size=shape) * scale
    tensors["embed_tokens"][1, 5] += sink
    return FloatModel(D, tensors, np.float32)


def divergence(real: FloatModel, formats: Formats, *, prefix: int = 1) -> float:
    ranges = emulated_ranges(real, WINDOWS[:2], prefix=prefix)
    stream = EmulatedStream(D, real.tensors, ranges, prefix=prefix, formats=formats)
    figures = compare_on_text(FloatStream(real), stream, WINDOWS[2:])
    return figures.to_dict()["kl_nats"]


def test_without_formats_only_words_are_rounded() -> None:
    found = [divergence(model(), dataclasses.replace(NONE, word=word)) for word in (1, 64)]
    assert 0 < found[0] < found[1] < 5e-3


@pytest.mark.parametrize(
    "change",
    [
        {"weights": True},
        {"heads": True},
        {"word_exponents": False},
        {"table": True, "table_bits": 8},
    ],
)
def test_each_format_costs_something(change: dict[str, bool]) -> None:
    plain = dataclasses.replace(NONE, word=1)
    assert divergence(model(), dataclasses.replace(plain, **change)) > 1.2 * divergence(
        model(), plain
    )


def test_all_formats_together_stay_close_to_float() -> None:
    found = divergence(model(), Formats(word=8))
    assert 0 < found < 0.02


def test_a_prefix_in_float_keeps_a_sink_out_of_the_residual() -> None:
    real = model(sink=20_000)
    assert emulated_ranges(real, WINDOWS, prefix=0).residual > 1e4
    assert emulated_ranges(real, WINDOWS, prefix=1).residual < 100
    kept, sent = (divergence(real, Formats(word=8), prefix=prefix) for prefix in (1, 0))
    assert kept < 0.02 < sent


def test_ranges_have_every_site_of_every_layer() -> None:
    ranges = emulated_ranges(model(), WINDOWS, prefix=1)
    for layer in range(D.layers):
        assert ranges.steps[f"layers.{layer}.q_out"].shape == (4,)
        assert ranges.steps[f"layers.{layer}.v_out"].shape == (2,)
        for site in ("qkv_in", "o_in", "fc1_in", "fc1_out", "activation", "fc2_in"):
            assert ranges.largest[f"layers.{layer}.{site}"] > 0
    assert ranges.largest["head_in"] > 0 and ranges.residual > 0


def test_a_rotated_model_is_emulated_too() -> None:
    real = model(sink=0.0)
    rotated = rotate_model(D, real.tensors)
    other = FloatModel(rotated.description, rotated)
    stream = EmulatedStream(
        rotated.description, rotated, emulated_ranges(other, WINDOWS[:2], prefix=1), prefix=1
    )
    figures = compare_on_text(FloatStream(real), stream, WINDOWS[2:]).to_dict()
    assert figures["kl_nats"] < 0.02


def test_other_models_are_refused() -> None:
    opt = family_description("opt")
    with pytest.raises(ValueError, match="for models like LLaMA, not for opt"):
        EmulatedStream(opt, {}, Ranges(), prefix=1)
