# SPDX-License-Identifier: Apache-2.0
"""The online softmax against a scalar model: many blocks, masks, resets, groups, back to back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from hw_tests.rtl_gen.softmax.online_row import OnlineRow
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from hw_tests.unit_config import lane_config
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.lane.latency import LaneLatency
from rtl_gen.softmax.online import Softmax

_SEED = 14


_CONFIGS = {
    "tiny": lane_config(16, 2, 2, 3),
    "one_group": lane_config(16, 2, 2, 1),
    "four_rows": lane_config(16, 2, 4, 1, probability_bits=8),
    "eight_rows": lane_config(32, 2, 8, 2),
    "two_cycles": lane_config(16, 1, 8, 2),
    "wide": lane_config(64, 2, 2, 2),
}


@dataclass(frozen=True)
class _Block:
    group: int
    bank: int
    reset: int
    scores: list[int]
    visible: list[int]


def _blocks(config: AcceleratorConfig, generator: random.Random, count: int) -> list[_Block]:
    """Groups in random order, scores around levels from -128 to 117: maxima rise a lot."""
    banks = [0] * config.groups
    blocks = []
    for number in range(count):
        group = generator.randrange(config.groups)
        banks[group] ^= 1
        level = generator.choice([-32768, -20000, -3000, 0, 0, 500, 900, 2000, 30000])
        spread = generator.choice([0, 100, 700, 4000])
        scores = [
            max(-32768, min(32767, level + generator.randint(-spread, spread)))
            for _ in range(config.width)
        ]
        count_seen = generator.choice([0, 1, config.width, generator.randint(0, config.width)])
        visible = [int(key < count_seen) for key in range(config.width)]
        reset = number < 2 * config.groups or generator.random() < 0.15
        blocks.append(_Block(group, banks[group], int(reset), scores, visible))
    return blocks


@pytest.mark.parametrize("gaps", [False, True], ids=["back_to_back", "gaps"])
@pytest.mark.parametrize("name", _CONFIGS)
def test_matches_the_scalar_model(name: str, gaps: bool) -> None:
    config = _CONFIGS[name]
    cycles, rows = config.tile_cycles, config.rows
    generator = random.Random(salted(_SEED))
    blocks = _blocks(config, generator, 60)
    dut = Softmax(config=config)
    latency = LaneLatency.of(config)

    # Cycle -> what to drive or read; each probability is read in the first cycle it may be.
    inputs: dict[int, tuple[_Block, int]] = {}
    fetches: dict[int, tuple[_Block, int, list[int]]] = {}
    rescales: dict[int, tuple[_Block, int]] = {}
    totals: dict[int, tuple[int, int]] = {}
    rows_of = {}
    previous: dict[int, int] = {}
    cycle = 2
    for block in blocks:
        if block.group in previous:
            cycle = max(cycle, previous[block.group] + latency.score_revisit)
        cycle += generator.randint(0, 2 * cycles) if gaps else 0
        if block.reset:
            rows_of[block.group] = OnlineRow(config.probability_bits)
        model = rows_of[block.group]
        seen = [z for z, visible in zip(block.scores, block.visible, strict=True) if visible]
        delta, some = model.block(seen)
        kept = iter(some)
        probabilities = [next(kept) if visible else 0 for visible in block.visible]
        for index in range(cycles):
            inputs[cycle + index] = block, index
        last = cycle + cycles - 1
        previous[block.group] = last
        for index in range(cycles):
            expected = probabilities[index * rows : (index + 1) * rows]
            fetches[last + dut.PROBABILITY + index] = block, index, expected
        rescales[last + dut.RESCALE] = block, delta
        totals[last + dut.TOTAL] = block.group, model.total
        cycle += cycles
    end = cycle + dut.TOTAL + cycles

    async def bench(ctx: Any) -> None:
        pending: list[tuple[int, str, object, object]] = []
        for now in range(end):
            for due, what, expected, about in [entry for entry in pending if entry[0] == now]:
                if what == "probabilities":
                    found = [ctx.get(dut.o_probabilities[row]) for row in range(rows)]
                else:
                    found = ctx.get(dut.o_rescale if what == "rescale" else dut.o_total)
                assert found == expected, f"{what} of {about}, cycle {due}, seed {_SEED}"
            ctx.set(dut.i.valid, now in inputs)
            if now in inputs:
                block, index = inputs[now]
                part = slice(index * rows, (index + 1) * rows)
                fields = dict(group=block.group, bank=block.bank, reset=block.reset, index=index)
                fields |= dict(first=index == 0, last=index == cycles - 1)
                fields |= dict(scores=block.scores[part], visible=block.visible[part])
                ctx.set(dut.i.payload, fields)
            if now in fetches:
                block, index, expected = fetches[now]
                ctx.set(dut.i_fetch, dict(bank=block.bank, group=block.group, index=index))
                pending.append((now + 2, "probabilities", expected, (block, index)))
            if now in rescales:
                block, delta = rescales[now]
                ctx.set(dut.i_rescale, dict(bank=block.bank, group=block.group))
                pending.append((now + 1, "rescale", delta, block))
            if now in totals:
                group, total = totals[now]
                ctx.set(dut.i_total_group, group)
                pending.append((now + 1, "total", total, group))
            await ctx.tick()
        assert len(pending) == sum(map(len, (fetches, rescales, totals)))

    simulate(dut, bench)


def test_a_given_total_replaces_the_running_sum() -> None:
    """After the scores' own sum was written; read in the cycle after, other groups keep theirs."""
    config = _CONFIGS["tiny"]
    generator = random.Random(salted(_SEED))
    dut = Softmax(config=config)
    totals = {group: generator.getrandbits(sum_bits(config)) for group in range(config.groups)}

    async def bench(ctx: Any) -> None:
        for index in range(config.tile_cycles):
            last = index == config.tile_cycles - 1
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload, dict(first=index == 0, last=last, index=index, reset=1))
            ctx.set(dut.i.payload.visible[0], 1)
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(dut.TOTAL)
        ctx.set(dut.i_total_group, 0)
        await ctx.tick()
        assert ctx.get(dut.o_total) == config.tile_cycles * ((1 << config.probability_bits) - 1)
        for group, total in totals.items():
            ctx.set(dut.i_total.valid, 1)
            ctx.set(dut.i_total.payload, dict(group=group, value=total))
            await ctx.tick()
            assert not ctx.get(dut.o_conflict)
        ctx.set(dut.i_total.valid, 0)
        ctx.set(dut.i_total.payload.value, 0)
        for group in reversed(totals):  # the first read follows its write at once
            ctx.set(dut.i_total_group, group)
            await ctx.tick()
            assert ctx.get(dut.o_total) == totals[group], f"group {group}, seed {_SEED}"

    simulate(dut, bench)
