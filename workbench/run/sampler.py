# SPDX-License-Identifier: Apache-2.0
"""How a command line has the next token chosen."""

from __future__ import annotations

import numpy as np

from firmware.session import Sampler
from meadow.golden.sampling import sample_top_k

__all__ = ["make_sampler"]


def make_sampler(top_k: int | None, seed: int) -> Sampler | None:
    """A choice among the k best tokens, drawn from the seed; None, the device's arg-max, without
    `top_k`.
    """
    if top_k is None:
        return None
    generator = np.random.default_rng(seed)
    return lambda logits: sample_top_k(logits, k=top_k, generator=generator)
