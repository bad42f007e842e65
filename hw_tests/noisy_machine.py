# SPDX-License-Identifier: Apache-2.0
"""Architectural machines whose memories are full of noise, and steps for them."""

from __future__ import annotations

import numpy as np

from hw_tests.seeds import salted
from meadow.golden.machine.machine import Machine
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from meadow.spec.step import Sequence, Step

__all__ = ["machine", "step"]


def machine(config: AcceleratorConfig, dram_bytes: int = 1 << 16) -> Machine:
    """A machine whose memories are full of noise, so that a stray write shows."""
    random = np.random.default_rng(salted(7))
    made = Machine(config, random.integers(0, 256, dram_bytes, np.uint8))
    made.activations[:] = random.integers(0, 256, made.activations.shape, np.uint8)
    made.exponents[:] = random.integers(0, 1 << EXPONENT_BITS, made.exponents.shape, np.uint8)
    made.activation_table[:] = random.integers(0, 256, made.activation_table.shape, np.uint8)
    return made


def step(*tokens: int, position: int = 0, **more: object) -> Step:
    """A step of sequences with so many tokens, all at one position, kv_base 1000 beats apart."""
    rows = np.cumsum([0, *tokens])
    return Step(
        tuple(
            Sequence(1000 * index, position, count, int(rows[index]))
            for index, count in enumerate(tokens)
        ),
        **more,
    )
