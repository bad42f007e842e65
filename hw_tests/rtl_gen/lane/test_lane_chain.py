# SPDX-License-Identifier: Apache-2.0
"""The lane chain: matmul in every drain mode, attention, the time of each lane's word."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from amaranth.lib import wiring

from hw_tests.marks import slow
from hw_tests.rtl_gen.lane.lane_script import LaneScript, play
from hw_tests.rtl_gen.softmax.online_row import AttentionRow
from hw_tests.seeds import salted
from hw_tests.streams import Rig
from hw_tests.unit_config import lane_config
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import output_scale, requantise
from rtl_gen.interfaces.lane import DrainMode, Target, WordKind
from rtl_gen.lane.lane_chain import LANE_MODULE, LaneChain, lane_verilog

_SEED = 15


_CONFIGS = {
    "two_lanes": lane_config(16, 2, 2, 3),
    "four_lanes": lane_config(16, 4, 2, 2, probability_bits=8),
    "four_rows": lane_config(16, 2, 4, 2),
    "wide": lane_config(32, 2, 2, 1),
    "one_lane": lane_config(16, 1, 8, 4),
}
_NAMES = ["two_lanes", slow("four_lanes"), slow("four_rows"), slow("wide"), "one_lane"]


@cache
def _elaborated(config: AcceleratorConfig) -> tuple[LaneChain, Rig]:
    """One chain for all tests of a configuration."""
    dut = LaneChain(config=config)
    return dut, Rig(dut)


def _play(config: AcceleratorConfig, script: LaneScript) -> None:
    dut, rig = _elaborated(config)

    def take(ctx: Any) -> tuple[int, int] | None:
        if not ctx.get(dut.o_result.valid):
            return None
        return ctx.get(dut.o_result.payload.lane), ctx.get(dut.o_result.payload.data)

    play(dut, script, take, lambda: dut.lanes, _SEED, rig)


def _int8(numbers: np.random.Generator, *shape: int) -> np.ndarray:
    values = numbers.integers(-127, 128, shape, np.int8)
    values[numbers.random(shape) < 0.1] = 127
    values[numbers.random(shape) < 0.1] = -127
    return values


@pytest.mark.parametrize("name", _NAMES)
def test_matmul_in_every_output_mode(name: str) -> None:
    """Slices alternate between the buffers; each is drained while the next one accumulates. The
    words of one sum have different exponents.
    """
    config = _CONFIGS[name]
    width, lanes, tiles = config.width, config.lanes, 2
    numbers, generator = np.random.default_rng(salted(_SEED)), random.Random(salted(_SEED))
    script = LaneScript(config)
    x = _int8(numbers, config.groups, lanes, tiles, width)
    exponents = numbers.choice([0, 7, 1, 4], (config.groups, lanes, tiles))
    x[0, 0, 0], exponents[0, 0, 0] = 0, 7  # a word of zeros
    values_of_x = x.astype(int) << exponents[..., None]
    modes = [DrainMode.INT8, DrainMode.RELU16, DrainMode.INT16, DrainMode.INT8]
    for number, mode in enumerate(modes):
        target = Target(number % 2)
        weights = _int8(numbers, tiles, width, width)
        parameters = [
            (
                int(numbers.integers(-(1 << 20), 1 << 20)),
                generator.randrange(1 << 14, 1 << 16),
                generator.randint(22, 31) - (0 if mode == DrainMode.INT8 else 6),
            )
            for _ in range(width)
        ]
        for tile in range(tiles):
            for group in range(config.groups):
                # Distance of two issues to one address: pad when one group's step is too short.
                swap = script.words(x[group, :, tile], exponents[group, :, tile])
                if config.groups == 1 or config.groups * config.tile_cycles < 6:
                    swap = max(swap, script.issue - config.tile_cycles + script.latency.revisit)
                script.step(swap, target, group, weights[tile], first=tile == 0)
        for group in range(config.groups):
            low, high = sorted(generator.sample(range(lanes + 1), 2))
            low, high = (low, high) if number else (0, lanes)
            emits = script.drains(mode, target, group, parameters, lanes_low=low, lanes_high=high)
            for lane in range(low, high):
                sums = np.einsum("tcw,tw->c", weights.astype(int), values_of_x[group, lane])
                bits = 8 if mode == DrainMode.INT8 else 16
                values = [
                    requantise(int(total) + bias, multiplier, shift, bits)
                    for total, (bias, multiplier, shift) in zip(sums, parameters, strict=True)
                ]
                if mode == DrainMode.RELU16:
                    values = [max(0, value) for value in values]
                script.expect(emits, lane, np.array(values, f"<i{bits // 8}").tobytes())
    _play(config, script)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("name", _NAMES)
def test_attention_of_two_commands(name: str, causal: int) -> None:
    """Tile order K0 K1 V0 K2 V1 V2; rows of the second command start from scratch. Lanes share keys
    by `heads`.
    """
    config = _CONFIGS[name]
    width, lanes, groups, blocks = config.width, config.lanes, config.groups, 3
    numbers = np.random.default_rng(salted(_SEED + causal))
    score = (40000, 17 if width == 16 else 18)
    parameters = [(0, *score), *[(12345, 7, 3)] * (config.rows - 1)] * config.tile_cycles
    script = LaneScript(config)
    for head in range(2):
        heads = [int(numbers.integers(1, lanes + 1)) for _ in range(groups)]
        query = _int8(numbers, groups, lanes, width)
        keys, values = (_int8(numbers, blocks, width, width) for _ in range(2))
        rows = [
            [AttentionRow(config.probability_bits, score) for _ in range(lanes)]
            for _ in range(groups)
        ]
        # Contexts end in any block; group 0 of head 1 sees nothing of block 0.
        limits = [int(numbers.integers(-1, 3 * width)) for _ in range(groups)]
        # The second head accumulates in the last head-dim block of OUTPUT: its highest addresses.
        head_block = head * max(0, config.max_head_dim // width - 1)
        low, high = (0, lanes) if head == 0 else (min(1, lanes - 1), lanes)
        mode = (DrainMode.OUTPUT, DrainMode.OUTPUT16)[head ^ causal]
        bits = 16 if mode == DrainMode.OUTPUT16 else 8

        def score_block(block: int) -> None:
            for group in range(groups):
                limit = limits[group] - block * width
                if head == 1 and group == 0 and block == 0:
                    limit = -5
                script.drains(
                    DrainMode.SCORE,
                    Target(block % 2),
                    group,
                    parameters,
                    bank=block % 2,
                    limit=limit,
                    causal=causal,
                    heads=heads[group],
                    reset=block == 0,
                    lanes_low=low,
                    lanes_high=high,
                )
                for lane in range(low, high):
                    seen = max(0, min(width, limit + (lane // heads[group] if causal else 0)))
                    row = rows[group][lane]
                    row.block(query[group, lane], keys[block][:seen], values[block][:seen])

        def query_key(block: int) -> None:
            for group in range(groups):
                swap = script.words(query[group])
                script.step(swap, Target(block % 2), group, keys[block], first=1)

        def probability_value(block: int) -> None:
            for group in range(groups):
                script.step(
                    script.fetches(block % 2, group),
                    Target.OUTPUT,
                    group,
                    values[block].T,
                    first=block == 0,
                    rescale=block != 0,
                    block=head_block,
                    bank=block % 2,
                )

        query_key(0)
        score_block(0)
        for block in range(1, blocks):
            query_key(block)
            probability_value(block - 1)
            score_block(block)
        probability_value(blocks - 1)
        for group in range(groups):
            multiplier, shift = 50000, (15 if head == 0 else 14) - (bits - 8)
            earliest = script.finish(group, multiplier, shift)
            lanes_of = {"lanes_low": low, "lanes_high": high}
            emits = script.output(group, earliest, mode=mode, block=head_block, **lanes_of)
            for lane in range(low, high):
                result = rows[group][lane].result(multiplier, shift, bits)
                script.expect(emits, lane, np.array(result, f"<i{bits // 8}").tobytes())
    _play(config, script)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("name", _NAMES)
def test_scores_out_and_probabilities_in(name: str, causal: int) -> None:
    """Scores leave as words, masked ones at the bottom; probabilities and totals that come as words
    make the output.
    """
    config = _CONFIGS[name]
    width, lanes, groups, half = config.width, config.lanes, config.groups, config.width // 2
    numbers = np.random.default_rng(salted(_SEED + causal))
    script = LaneScript(config)
    score = (40000, 17)
    query, keys = _int8(numbers, groups, lanes, width), _int8(numbers, width, width)
    for group in range(groups):
        script.step(script.words(query[group]), Target.BUFFER1, group, keys, first=1)
    for group in range(groups):
        heads = int(numbers.integers(1, lanes + 1))
        limit = int(numbers.integers(-1, width + 2))
        emits = script.drains(
            DrainMode.SCORE16,
            Target.BUFFER1,
            group,
            [(0, *score)] * width,
            limit=limit,
            causal=causal,
            heads=heads,
            lanes_high=lanes,
        )
        for lane in range(lanes):
            dots = (keys.astype(int) @ query[group, lane].astype(int)).tolist()
            z = np.array([requantise(dot, *score, 16) for dot in dots], "<i2")
            z[max(0, limit + (lane // heads if causal else 0)) :] = -(1 << 15)
            script.expect(emits, lane, z.tobytes())

    totals = numbers.integers(1, 1 << (config.probability_bits + 7), (groups, lanes)).tolist()
    totals[0][0] = 0
    sums = np.zeros((groups, lanes, width), int)
    for block in range(2):
        values = _int8(numbers, width, width)
        p = numbers.integers(0, 1 << config.probability_bits, (groups, lanes, width), "<u2")
        sums += p.astype(int) @ values.astype(int)
        for group in range(groups):
            if block == 0:
                script.totals(group, totals[group])
            # Words of probabilities may come with any exponents.
            seven = [7] * lanes
            script.words(p[group, :, :half], seven, kind=WordKind.LOW)
            swap = script.words(p[group, :, half:], seven, kind=WordKind.HIGH)
            if block:  # distance of two issues to one address
                swap = max(swap, script.issue + script.latency.revisit)
            script.step(swap, Target.OUTPUT, group, values.T, first=block == 0)
    mode, bits = (DrainMode.OUTPUT16, 16) if causal else (DrainMode.OUTPUT, 8)
    for group in range(groups):
        shift = 13 - (bits - 8)
        earliest = script.finish(group, 50000, shift)
        emits = script.output(group, earliest, mode=mode, lanes_high=lanes)
        for lane in range(lanes):
            scale = output_scale(totals[group][lane], 50000, shift)
            output = [requantise(int(total), *scale, bits) for total in sums[group, lane]]
            script.expect(emits, lane, np.array(output, f"<i{bits // 8}").tobytes())
    _play(config, script)


def test_black_box_has_the_same_ports_and_names_the_lane_module() -> None:
    config = _CONFIGS["two_lanes"]
    plain, boxed = LaneChain(config=config), LaneChain(config=config, black_box=True)
    assert plain.signature == boxed.signature
    assert isinstance(plain, wiring.Component)
    for chain in (plain, boxed):
        chain._MustUse__silence = True
    text = lane_verilog(config)
    assert text == lane_verilog(config)
    assert f"module {LANE_MODULE}(" in text
