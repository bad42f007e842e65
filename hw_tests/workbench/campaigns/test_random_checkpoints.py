# SPDX-License-Identifier: Apache-2.0
"""Random checkpoints: every form of the same draw is the same model, and its remedies are in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.spec.model import ModelDescription
from workbench.campaigns.random_checkpoints import (
    CHECKPOINTS,
    FORMS,
    RandomCheckpoint,
    draw_checkpoint,
)
from workbench.configurations.chosen import choose_config

PLAIN = RandomCheckpoint(
    form="directory",
    kind="F32",
    factor=2.0,
    sink=1000.0,
    outlier=30.0,
    rotate="off",
    prefix="auto",
    granularity="channel",
)


def described(architecture: str, **sizes: int | bool) -> ModelDescription:
    values = {"width": 12, "head_dim": 6, "tied_head": True} | sizes
    return family_description(architecture, **values)


@pytest.mark.parametrize("tied_head", [True, False])
@pytest.mark.parametrize("architecture", CHECKPOINTS)
def test_every_form_holds_the_same_model(
    tmp_path: Path, architecture: str, tied_head: bool
) -> None:
    d = described(architecture, tied_head=tied_head)
    loaded = [
        load_checkpoint(replace(PLAIN, form=form).write(tmp_path / form, d, salted(1)))
        for form in FORMS
        if not (tmp_path / form).mkdir()
    ]
    first, *others = loaded
    # Of the description all but what the float32 numbers of a GGUF file round.
    assert first.description == replace(d, rotary_divisors=(2.0,) * 3)
    for other in others:
        assert other.description == first.description
        for name, array in first.tensors.items():
            np.testing.assert_array_equal(other.tensors[name], array, name)


def test_sink_and_outlier_are_in_the_weights(tmp_path: Path) -> None:
    d = described("llama")
    loud = load_checkpoint(PLAIN.write(tmp_path, d, salted(2))).tensors
    (tmp_path / "calm").mkdir()
    calm = replace(PLAIN, sink=0.0, outlier=1.0)
    quiet = load_checkpoint(calm.write(tmp_path / "calm", d, salted(2))).tensors
    difference = loud["embed_tokens"] - quiet["embed_tokens"]
    row, channel = np.argwhere(difference)[0]
    assert np.count_nonzero(difference) == 1 and row == d.bos_token
    assert difference[row, channel] == pytest.approx(1000, rel=1e-3)
    for name in ("layers.0.attention_norm.weight", "layers.1.mlp_norm.weight", "final_norm.weight"):
        assert loud[name][channel] == np.float32(30) * quiet[name][channel]


@pytest.mark.parametrize("rotate", ["on", "off"])
def test_a_checkpoint_becomes_an_image_of_its_options(rotate: str) -> None:
    """The opening token is a sink, so it is the prefix unless that is left out; nor does it stand
    among the random tokens behind it.
    """
    d = described("qwen2", vocabulary=2000)
    for prefix, expected in (("auto", (d.bos_token,)), ("none", ())):
        made = replace(PLAIN, form="gguf", outlier=1.0, rotate=rotate, prefix=prefix)
        loaded = made.compiled(
            d,
            chosen=choose_config("tiny"),
            codec="rice",
            hidden_block=10,
            seed=salted(3),
            log=print,
        )
        assert loaded.quantised is not None
        assert loaded.quantised.notes["rotated"] is (rotate == "on")
        manifest = loaded.image.manifest
        assert manifest.prefix == expected and manifest.hidden_block == 10
        assert manifest.model == loaded.quantised.description


def test_matrices_are_packed_where_their_rows_are_whole_blocks() -> None:
    random = np.random.default_rng(salted(4))
    whole = described("llama", width=64, head_dim=8, hidden=96)
    kinds = {draw_checkpoint(random, whole).kind for _ in range(60)}
    assert kinds == {"F32", "F16", "Q8_0", "Q4_0"}
    odd = described("llama", hidden=40)
    assert {draw_checkpoint(random, odd).kind for _ in range(60)} == {"F32", "F16"}
