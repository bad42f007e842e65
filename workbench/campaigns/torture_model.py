# SPDX-License-Identifier: Apache-2.0
"""What a torture bench runs: a random model of one layer, its image and golden, and a random memory
to run it on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cosim.library import DramSettings
from meadow.compiler.image import compile_image
from meadow.compiler.packing.packing import codec_choices
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.spec.model import ModelDescription
from workbench.campaigns.random_models import TORTURE_SIZES, draw_architecture, draw_description
from workbench.configurations.chosen import ChosenConfig
from workbench.devices import Throttle

__all__ = ["TortureModel", "draw_settings", "draw_torture_model"]

_CONTEXT = 48


@dataclass(frozen=True, kw_only=True)
class TortureModel:
    """A model, and how it is used.

    fixed: (position, tokens) of the only step that a program of the baseline serves, or None.
    sequences: that run side by side.
    """

    description: ModelDescription
    image: Image
    golden: BitTrueModel
    sequences: int
    fixed: tuple[int, int] | None


def draw_torture_model(random: np.random.Generator, chosen: ChosenConfig) -> TortureModel:
    """A random model of one layer, compiled for the configuration."""
    config = chosen.config
    architecture = draw_architecture(random)
    context = int(random.integers(8, _CONTEXT + 1))
    drawn = draw_description(random, architecture, config, TORTURE_SIZES)
    description = replace(drawn, max_positions=context)
    blocks = int(random.integers(1, 4))
    gemm = bool(random.random() < 0.15) and config.baseline
    count = 1 if gemm else int(random.integers(1, config.sequences + 1))
    new = int(random.integers(1, 6))
    start, prefix = 0, ()
    if description.causal:
        prefix = random.integers(0, description.vocabulary, random.choice([0, 0, 1, 2]))
        prefix = tuple(prefix.tolist())
        start = int(random.integers(len(prefix), context - new))
    fixed = (start, new) if gemm else None
    dataflow = "gemm" if gemm else "tphs"
    seed = int(random.integers(0, 1 << 31))
    model = synthetic_model(
        description, hidden_block=-(-description.hidden // blocks), seed=seed, prefix=prefix
    )
    image = compile_image(
        model,
        config,
        config_name=chosen.name,
        codec=str(random.choice(codec_choices(config))),
        tokenizer_json="{}",
        context=context,
        dataflow=dataflow,
        step=fixed,
    )
    return TortureModel(
        description=description,
        image=image,
        golden=BitTrueModel(model, config, dataflow=dataflow),
        sequences=count,
        fixed=fixed,
    )


def draw_settings(random: np.random.Generator) -> DramSettings:
    """A random memory."""
    return Throttle(
        stalls=float(random.choice([0, 0.1, 0.3, 0.5])),
        latency_cycles=int(random.integers(1, 100)),
        bandwidth_gbps=None if random.random() < 0.7 else float(random.integers(16, 100)),
        dram=str(random.choice(["ideal", "zynqmp"])),
        seed=int(random.integers(0, 1 << 31)),
    ).settings()
