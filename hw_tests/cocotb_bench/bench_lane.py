# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of one lane, module `meadow_lane`, alone: dot products in every output mode and
attention over some key blocks, as the golden model computes them. Run by test_netlists, on the
generated text and on a netlist of it.

`LaneScript` places micro-operations at their earliest legal cycles and keeps the words that must
leave, each in its own cycle; the bench plays it into the ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Const, Value
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly

from cocotb_bench.design import design_config
from hw_tests.rtl_gen.fields import nested
from hw_tests.rtl_gen.lane.lane_script import LaneScript
from hw_tests.rtl_gen.lane.paired_rows import paired_rows
from meadow.golden.numerics import requantise
from meadow.golden.tiers.attention import attend
from rtl_gen.interfaces.lane import (
    DrainMode,
    Target,
    accumulation_layout,
    drain_layout,
    fetch_layout,
    finish_layout,
    word_layout,
)
from rtl_gen.interfaces.rows import row_sums_layout, rows_layout
from rtl_gen.lane.lane import Lane

CONFIG = design_config()
WIDTH = CONFIG.width
LAYOUTS = {
    "issue": accumulation_layout(CONFIG),
    "word": word_layout(CONFIG),
    "fetch": fetch_layout(CONFIG),
    "drain": drain_layout(CONFIG),
    "finish": finish_layout(CONFIG),
}
ROWS, ROW_SUMS = rows_layout(CONFIG), row_sums_layout(CONFIG)
RESET_CYCLES = 4
TIMEOUT = {"timeout_time": 1, "timeout_unit": "ms"}


def bits_of(layout: data.Layout, value: Any) -> int:
    """The bits of a struct or an array."""
    constant = Const.cast(Value.cast(layout.const(value)))
    return constant.value & ((1 << len(constant)) - 1)


async def play(dut, script: LaneScript, seed: int) -> None:
    """Run a script on lane 0: every word leaves in its cycle, and no other.

    Everything happens at the falling edge: what is driven and seen there is what the next rising
    edge takes. What is idle carries noise.
    """
    cocotb.start_soon(Clock(dut.clk, 4, unit="ns").start())
    noise, operations = Random(seed), script.operations
    dut.index.value, dut.rst.value = 0, 1
    for kind in LAYOUTS:
        getattr(dut, f"i__control__{kind}__valid").value = 0
    dut.i__control__swap.value = 0
    await ClockCycles(dut.clk, RESET_CYCLES)
    found: dict[tuple[int, int], bytes] = {}
    for cycle in range(script.end):
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        dut.i__control__swap.value = cycle in operations["swap"]
        for kind, layout in LAYOUTS.items():
            fields: Mapping[str, Any] | None = operations[kind].get(cycle)
            getattr(dut, f"i__control__{kind}__valid").value = fields is not None
            bits = noise.getrandbits(layout.size)
            if fields is not None:
                own = {name: value for name, value in fields.items() if name != "rows"}
                bits = bits_of(layout, nested(layout, own))
            getattr(dut, f"i__control__{kind}__payload").value = bits
        rows = operations["issue"].get(cycle, {}).get("rows")
        dut.i__rows.value = (
            bits_of(ROWS, paired_rows(rows)) if rows else noise.getrandbits(ROWS.size)
        )
        before = operations["issue"].get(cycle - script.latency.row_sum, {}).get("rows")
        dut.i__row_sums.value = (
            bits_of(ROW_SUMS, [sum(row) for row in before])
            if before
            else noise.getrandbits(ROW_SUMS.size)
        )
        await ReadOnly()
        if int(dut.o_result__valid.value):
            found[cycle, 0] = int(dut.o_result__payload.value).to_bytes(WIDTH, "little")
    assert script.expected and sorted(found) == sorted(script.expected), "times of results"
    for key, word in script.expected.items():
        assert found[key] == word, f"cycle {key[0]}"


def expect(script: LaneScript, emits: list[int], values: np.ndarray, bits: int) -> None:
    """The words of these elements, each `RESULT_LATENCY` cycles after its drain."""
    words = values.astype(f"<i{bits // 8}").tobytes()
    for number, cycle in enumerate(emits):
        own = words[number * WIDTH : (number + 1) * WIDTH]
        script.expected[cycle + Lane.RESULT_LATENCY, 0] = own


def int8(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Elements of words, the largest ones more often than others."""
    values = random.integers(-127, 128, shape, np.int8)
    values[random.random(shape) < 0.2] = random.choice([-127, 127])
    return values


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(mode=["INT8", "INT16", "RELU16"])
async def dot_products(dut, mode: str) -> None:
    """Sums over tiles of words with exponents, for every token group, requantised."""
    random = np.random.default_rng(cocotb.RANDOM_SEED)
    script, tiles, bits = LaneScript(CONFIG), 3, 8 if mode == "INT8" else 16
    x = int8(random, CONFIG.groups, tiles, WIDTH)
    exponents = random.integers(0, 8, (CONFIG.groups, tiles))
    weights = int8(random, tiles, WIDTH, WIDTH)
    bias = random.integers(-(1 << 20), 1 << 20, WIDTH)
    multiplier = random.integers(1 << 14, 1 << 16, WIDTH)
    shift = random.integers(24, 31, WIDTH) - (bits - 8)
    for tile in range(tiles):
        for group in range(CONFIG.groups):
            swap = script.words([x[group, tile]], [exponents[group, tile]])
            swap = max(swap, script.issue - CONFIG.tile_cycles + script.latency.revisit)
            script.step(swap, Target.BUFFER0, group, weights[tile], first=tile == 0)
    parameters = list(zip(bias.tolist(), multiplier.tolist(), shift.tolist(), strict=True))
    for group in range(CONFIG.groups):
        emits = script.drains(DrainMode[mode], Target.BUFFER0, group, parameters, lanes_high=1)
        operand = x[group].astype(np.int64) << exponents[group][:, None]
        sums = np.einsum("tcw,tw->c", weights.astype(np.int64), operand)
        values = requantise(sums + bias, multiplier, shift, bits)
        expect(script, emits, np.maximum(values, 0) if mode == "RELU16" else values, bits)
    await play(dut, script, cocotb.RANDOM_SEED)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(mode=["OUTPUT", "OUTPUT16"])
async def attention(dut, mode: str) -> None:
    """Queries of every token group on three key blocks, of which each group sees another part:
    scores, online softmax and values, in the order K0 K1 V0 K2 V1 V2.
    """
    random = np.random.default_rng(cocotb.RANDOM_SEED)
    script, groups, blocks, bits = (
        LaneScript(CONFIG),
        CONFIG.groups,
        3,
        8 if mode == "OUTPUT" else 16,
    )
    score, output = (40000, 17), (50000, 15 - (bits - 8))
    query = int8(random, groups, WIDTH)
    keys, values = (int8(random, blocks, WIDTH, WIDTH) for _ in range(2))
    visible = random.integers(1, blocks * WIDTH + 1, groups)
    parameters = [(0, *score)] * WIDTH

    def scores(block: int) -> None:
        for group in range(groups):
            target = Target(block % 2)
            script.step(script.words([query[group]]), target, group, keys[block], first=1)
        for group in range(groups):
            limit = int(visible[group]) - block * WIDTH
            chosen = {"bank": block % 2, "limit": limit, "reset": block == 0}
            chosen |= {"heads": 1, "lanes_high": 1}
            script.drains(DrainMode.SCORE, Target(block % 2), group, parameters, **chosen)

    def mix(block: int) -> None:
        for group in range(groups):
            chosen = {"first": block == 0, "rescale": block != 0, "bank": block % 2}
            swap = script.fetches(block % 2, group)
            swap = max(swap, script.issue - CONFIG.tile_cycles + script.latency.revisit)
            script.step(swap, Target.OUTPUT, group, values[block].T, **chosen)

    scores(0)
    for block in range(1, blocks):
        scores(block)
        mix(block - 1)
    mix(blocks - 1)
    for group in range(groups):
        emits = script.output(
            group, script.finish(group, *output), mode=DrainMode[mode], lanes_high=1
        )
        seen = int(visible[group])
        golden = attend(
            query[group][None],
            keys.reshape(-1, WIDTH)[:seen],
            values.reshape(-1, WIDTH)[:seen],
            positions=np.array([seen - 1]),
            width=WIDTH,
            probability_bits=CONFIG.probability_bits,
            score_multiplier=score[0],
            score_shift=score[1],
            output_multiplier=output[0],
            output_shift=output[1],
            output_bits=bits,
        )
        expect(script, emits, golden[0], bits)
    await play(dut, script, cocotb.RANDOM_SEED)
