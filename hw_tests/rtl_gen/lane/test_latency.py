# SPDX-License-Identifier: Apache-2.0
"""The published distances against the latencies of the units they are made of."""

from __future__ import annotations

import pytest

from meadow.spec.config import CONFIGURATIONS
from rtl_gen.blocks.requantise import Requantise
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.lane.accumulator import Accumulator
from rtl_gen.lane.dot_product import DotProductPair
from rtl_gen.lane.lane import Lane
from rtl_gen.lane.latency import LaneLatency
from rtl_gen.softmax.exponent import Exponent
from rtl_gen.softmax.online import Softmax
from rtl_gen.softmax.reciprocal import Reciprocal


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_distances_follow_from_the_units(name: str) -> None:
    config = CONFIGURATIONS[name]
    latency = LaneLatency.of(config)
    units = accumulator, softmax, reciprocal = (
        Accumulator(config=config),
        Softmax(config=config),
        Reciprocal(config=config),
    )
    for unit in units:
        unit._MustUse__silence = True
    scored = 1 + Accumulator.DRAIN_LATENCY + Requantise.LATENCY
    assert latency.accumulate == accumulator.LATENCY
    assert latency.row_sum == DotProductPair.row_sum(config)
    assert latency.revisit == Accumulator.REVISIT
    assert latency.result == Lane.RESULT_LATENCY + (2 if config.lanes > 4 else 1)
    assert latency.score == scored + softmax.PROBABILITY - 1
    assert softmax.levels + 4 + Exponent.LATENCY == softmax.PROBABILITY
    assert latency.score >= scored + softmax.RESCALE - (accumulator.LATENCY - 3)
    assert latency.score_sum == scored + softmax.TOTAL - 1
    assert latency.finish == 2 + reciprocal.LATENCY - 4


def test_numbers_of_zcu102() -> None:
    """Pinned, so that a longer pipeline is a decision and not an accident."""
    config = CONFIGURATIONS["zcu102"]
    assert sum_bits(config) == 25
    assert LaneLatency.of(config) == LaneLatency(
        accumulate=11,
        row_sum=7,
        port=1,
        revisit=6,
        operand=1,
        fetch=3,
        operand_reuse=0,
        fetch_reuse=-2,
        result=17,
        score=23,
        score_revisit=1,
        score_sum=57,
        total=1,
        finish=22,
        finish_reuse=1,
    )
