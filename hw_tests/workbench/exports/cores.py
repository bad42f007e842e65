# SPDX-License-Identifier: Apache-2.0
"""Cores for the tests of exported files."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.streams import CODEC_NAMES
from rtl_gen.blocks.prefix import top_name
from workbench.exports.core import Core, described_core

__all__ = ["DRAWN", "PREFIX", "TOP", "drawn_config", "drawn_core", "named_core"]

PREFIX = "any"
"""No exported file may count on the usual name."""
TOP = top_name(PREFIX)

DRAWN = "drawn"
"""In a test's parameters, the core of a configuration that is drawn."""


@cache
def named_core(configuration: str) -> Core:
    """The core of a named configuration."""
    return described_core(configuration, CONFIGURATIONS[configuration], TOP)


def drawn_config(random: Random) -> AcceleratorConfig:
    """A configuration of a user's own, with at most 128 multiply-accumulates per cycle."""
    width = random.choice((16, 32))
    rows = random.choice((2, 4) if width == 16 else (2,))
    lanes = random.choice([lanes for lanes in (1, 2, 4) if width * rows * lanes <= 128])
    others = random.sample(CODEC_NAMES, random.randint(0, len(CODEC_NAMES)))
    return replace(
        CONFIGURATIONS["nano"],
        width=width,
        rows=rows,
        lanes=lanes,
        groups=random.randint(3, 20),
        ports=random.choice((1, 2)),
        activation_words=256 * random.randint(4, 30),
        activation_ram=random.choice(("block", "ultra")),
        max_context=width * random.randint(8, 40),
        norm_channels=width * random.randint(8, 40),
        norm_lanes=random.choice((0, 2)),
        sequences=random.randint(1, 5),
        codecs=tuple({CODEC_NAMES[0], *others}),
        baseline=random.choice((True, False)),
    )


@cache
def drawn_core() -> Core:
    """One of a file whose name a user has chosen freely; what is not safe in text was replaced."""
    return described_core("größer--2", drawn_config(Random(salted(15))), TOP)
