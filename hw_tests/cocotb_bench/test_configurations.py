# SPDX-License-Identifier: Apache-2.0
"""The configurations that a seed draws are what the whole-chip bench can run, and all kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from cocotb_bench.small_models import MODELS, models_for
from hw_tests.cocotb_bench.configurations import (
    COUNT,
    MOST_MACS,
    drawn_configurations,
    generated_from_file,
)
from meadow.spec.commands import Opcode
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS
from meadow.spec.streams import CODEC_NAMES


@pytest.mark.parametrize("seed", range(20))
def test_every_width_number_of_rows_and_set_of_codecs(seed: int) -> None:
    drawn = drawn_configurations(seed)
    assert len(drawn) == COUNT and not set(drawn) & set(CONFIGURATIONS.values())
    assert all(config.macs <= MOST_MACS for config in drawn)
    assert len({(config.width, config.rows) for config in drawn}) == 4
    assert len({config.codecs for config in drawn}) == 4


def test_another_seed_draws_others() -> None:
    assert drawn_configurations(1) == drawn_configurations(1) != drawn_configurations(2)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("number", range(COUNT))
def test_the_models_of_the_bench_fit_and_use_every_codec(number: int, seed: int) -> None:
    config = drawn_configurations(seed)[number]
    assert len(models_for(config)) == len(MODELS) - (not config.baseline)
    used = set()
    for model in (model for model in MODELS if model.fits(config)):
        _, image = model.build(config, 0)
        commands = map(image.command, range(image.manifest.commands))
        places = [c.values["offset0"] for c in commands if c.opcode == Opcode.MATMUL]
        used |= {CODEC_NAMES[image.dram[place * BEAT_BYTES]] for place in places}
    assert used == set(config.codecs)


def test_what_was_drawn_is_generated_from_a_file(tmp_path: Path) -> None:
    config = drawn_configurations(0)[0]
    design = generated_from_file(config, tmp_path)
    assert design.config == config and design.verilog.is_file()
