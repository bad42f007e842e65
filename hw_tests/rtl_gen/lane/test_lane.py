# SPDX-License-Identifier: Apache-2.0
"""One lane: what it is told passes on after a cycle, others' words are ignored, result times."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value

from hw_tests.rtl_gen.lane.lane_script import LaneScript, play
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import named_config
from meadow.spec.numerics import requantise
from rtl_gen.interfaces.lane import DrainMode, Target
from rtl_gen.lane.lane import Lane

_SEED = 20


def test_all_that_a_lane_is_told_leaves_one_cycle_later_unchanged() -> None:
    config = named_config("tiny")
    dut = Lane(config=config)
    generator = random.Random(salted(_SEED))
    inputs, outputs = (
        {
            path: Value.cast(value)
            for path, _, value in signature.flatten(interface)
            if path[-1] != "ready"
        }
        for signature, interface in ((dut.i.signature, dut.i), (dut.o.signature, dut.o))
    )
    assert len(inputs) == len(outputs) == 13

    async def bench(ctx: Any) -> None:
        for _ in range(40):
            sent = {}
            for path, port in inputs.items():
                sent[path] = generator.getrandbits(len(port))
                ctx.set(port, sent[path])
            await ctx.tick()
            for path, value in sent.items():
                assert ctx.get(outputs[path]) == value, f"{path}, seed {_SEED}"

    simulate(dut, bench)


@pytest.mark.parametrize("index", [0, 1])
def test_takes_its_own_word_and_emits_at_its_own_time(index: int) -> None:
    """Both words pass by; lane `index` multiplies its own one."""
    config = named_config("tiny")
    dut = Lane(config=config)
    numbers = np.random.default_rng(salted(_SEED))
    script = LaneScript(config)
    x = numbers.integers(-127, 128, (2, config.width), np.int8)
    weights = numbers.integers(-127, 128, (config.width, config.width), np.int8)
    parameters = [(100, 50000, 24)] * config.width
    script.step(script.words(x), Target.BUFFER1, 5, weights, first=1)
    emits = script.drains(
        DrainMode.INT8, Target.BUFFER1, 5, parameters, lanes_low=index, lanes_high=index + 1
    )
    sums = weights.astype(int) @ x[index].astype(int)
    values = bytes(requantise(int(total) + 100, 50000, 24, 8) & 0xFF for total in sums)
    script.expected = {(cycle + Lane.RESULT_LATENCY, index): values for cycle in emits}

    def take(ctx: Any) -> tuple[int, int] | None:
        ctx.set(dut.index, index)
        return (index, ctx.get(dut.o_result.payload)) if ctx.get(dut.o_result.valid) else None

    play(dut, script, take, lambda: [dut], _SEED)


def test_an_exponent_takes_effect_and_ends_with_its_swap() -> None:
    """Words of 127 whose exponents change with every tile operation; a rest before the swap of the
    last one.
    """
    config = named_config("tiny")
    dut = Lane(config=config)
    script = LaneScript(config)
    width = config.width
    ones = np.full((width, width), 1, np.int8)
    words = np.full((1, width), 127, np.int8)
    emits = []
    exponents = [7, 0, 7, 1, 0, 6]
    for group, exponent in enumerate(exponents):
        swap = script.words(words, [exponent]) + 30 * (group == len(exponents) - 1)
        script.step(swap, Target.BUFFER0, group, ones, first=1)
    for group, exponent in enumerate(exponents):
        parameters = [(0, 1, 4)] * width
        cycles = script.drains(DrainMode.INT16, Target.BUFFER0, group, parameters, lanes_high=1)
        value = requantise(width * 127 << exponent, 1, 4, 16)
        halves = np.full(width // 2, value, "<i2").tobytes()
        emits += [(cycle + Lane.RESULT_LATENCY, halves) for cycle in cycles]
    script.expected = {(cycle, 0): halves for cycle, halves in emits}

    def take(ctx: Any) -> tuple[int, int] | None:
        return (0, ctx.get(dut.o_result.payload)) if ctx.get(dut.o_result.valid) else None

    play(dut, script, take, lambda: [dut], _SEED)
