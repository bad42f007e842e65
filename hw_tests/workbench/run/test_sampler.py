# SPDX-License-Identifier: Apache-2.0
"""The choice of the next token as a command line asks for it."""

from __future__ import annotations

import numpy as np

from hw_tests.seeds import salted
from workbench.run.sampler import make_sampler


def test_without_top_k_the_device_chooses() -> None:
    assert make_sampler(None, 3) is None


def test_the_best_are_drawn_from_and_the_seed_decides() -> None:
    logits = np.random.default_rng(salted(1)).normal(0, 3, 50).astype(np.float32)
    drawn = []
    for seed in (salted(4), salted(4), salted(5)):
        sampler = make_sampler(6, seed)
        assert sampler is not None
        drawn.append([sampler(logits) for _ in range(40)])
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) <= set(np.argsort(logits)[-6:].tolist())
    only = make_sampler(1, 0)
    assert only is not None and only(logits) == int(np.argmax(logits))
