# SPDX-License-Identifier: Apache-2.0
"""The Rice packer against plain Python: parameters, size, and the rule that refills a
sub-stream.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hw_tests.meadow.compiler.matrices import KINDS, draw
from meadow.compiler.packing.rice import plan_rice
from meadow.spec.streams import GROUP_WEIGHTS, LITERAL, RUN_BITS

CHOICES = (0, 1, 2, 3, 4, 5, 6, LITERAL)


def number(weight: int) -> int:
    return 2 * weight if weight >= 0 else -2 * weight - 1


def runs(group: np.ndarray, k: int) -> list[int]:
    """Bits of a group's eight runs."""
    if k == LITERAL:
        return [0] * 8
    return [sum((number(int(w)) >> k) + 1 for w in run) for run in group.reshape(8, 8)]


def cost(group: np.ndarray, k: int) -> int:
    bits = runs(group, k)
    return k * GROUP_WEIGHTS + sum(bits) if max(bits) <= RUN_BITS else 1 << 30


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_parameters_are_the_best_four_and_every_run_fits(kind: str) -> None:
    payload = draw(kind, (2, 10 * GROUP_WEIGHTS), 11)
    groups = payload.reshape(-1, GROUP_WEIGHTS)
    costs = [{k: cost(group, k) for k in CHOICES} for group in groups]
    plan = plan_rice(payload)
    found = sum(c[plan.widths[m]] for c, m in zip(costs, plan.modes.reshape(-1), strict=True))
    best = min(
        sum(min(c[k] for k in four) for c in costs) for four in itertools.combinations(CHOICES, 4)
    )
    assert found == best < 1 << 30


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_layout_is_that_of_a_simulated_decoder(kind: str) -> None:
    """Refills, mode words and raw words, counted step by step."""
    slices, per_slice = 3, 37
    payload = draw(kind, (slices, per_slice * GROUP_WEIGHTS), 5)
    plan = plan_rice(payload)
    groups = payload.reshape(-1, GROUP_WEIGHTS)
    bits, due, position = [0] * 8, [False] * 8, 0
    for index, group in enumerate(groups):
        piece, place = divmod(index, per_slice)
        k = plan.widths[plan.modes[piece, place]]
        if place == 0:
            position = 1
        for half in range(2):
            lanes = range(4 * half, 4 * half + 4)
            assert plan.due[index, half].tolist() == [due[lane] for lane in lanes]
            assert plan.starts[index, half] == position
            position += sum(due[lane] for lane in lanes) + k
            position += half == 0 and place % 16 == 0 and place + 16 < per_slice
        for lane, length in enumerate(runs(group, k)):
            due[lane] = (bits[lane] + length) // 32 > bits[lane] // 32
            bits[lane] += length
        if place == per_slice - 1:
            assert plan.words[piece] == -(-position // 4) * 4
    assert plan.payload_beats == 8 + plan.words.sum() // 4


def test_minus_128_and_127_are_the_ends_of_the_numbers() -> None:
    payload = np.resize([-128, 127, -1, 0], (1, GROUP_WEIGHTS)).astype(np.int8)
    assert plan_rice(payload).z.reshape(-1)[:4].tolist() == [255, 254, 1, 0]
