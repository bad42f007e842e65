# SPDX-License-Identifier: Apache-2.0
"""The lanes' clock: stopping it changes no result and no cycle, and a shorter settling time
would.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from amaranth.hdl import Cat, Elaboratable, EnableInserter, Module, Signal
from amaranth.lib import wiring

from hw_tests.marks import slow
from hw_tests.rtl_gen.lane.lane_script import Operations, set_lanes
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import AcceleratorConfig, named_config
from rtl_gen.interfaces.lane import DrainMode, LaneSignature, Target
from rtl_gen.lane.lane import Lane
from rtl_gen.lane.lane_clock import GATE_MODULE, LaneActivity, gate_verilog
from rtl_gen.lane.latency import LaneLatency

_CONFIGS = {
    "two_lanes": {"groups": 2},
    "four_lanes": {"width": 32, "lanes": 4, "groups": 2, "max_head_dim": 32},
    "four_rows": {"rows": 4, "groups": 3},
    "one_lane": {"lanes": 1, "rows": 8, "groups": 2},
}


def _config(name: str) -> AcceleratorConfig:
    return dataclasses.replace(named_config("tiny"), **_CONFIGS[name])


def _fetch(bank: int, group: int, index: int) -> dict[str, int]:
    return {"bank": bank, "group": group, "index": index}


class _Pair(Elaboratable):
    """Two chains of lanes, told the same, one behind the gate; `differs` if their words do."""

    def __init__(self, config: AcceleratorConfig, activity: LaneActivity) -> None:
        self.config = config
        self.activity = activity
        self.lanes = LaneSignature(config).create(path=("lanes",))
        self.differs = Signal()
        self.words = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.activity = activity = self.activity
        control = self.lanes.control
        m.d.comb += [
            activity.array.eq(
                control.issue.valid | control.swap | control.word.valid | control.fetch.valid
            ),
            activity.drain.eq(control.drain.valid | control.finish.valid),
        ]
        chains = []
        for kind in ("free", "gated"):
            source: Any = self.lanes
            outputs = []
            for index in range(self.config.lanes):
                lane = Lane(config=self.config)
                outputs.append(lane)
                m.submodules[f"{kind}_{index}"] = (
                    lane if kind == "free" else EnableInserter(activity.o_enable)(lane)
                )
                m.d.comb += lane.index.eq(index)
                wiring.connect(m, source, lane.i)
                source = lane.o
            chains.append(outputs)
        differs = []
        for free, gated in zip(*chains, strict=True):
            one, other = free.o_result, gated.o_result
            data = one.valid & (one.payload != other.payload)
            differs.append((one.valid != other.valid) | data)
        m.d.comb += [
            self.differs.eq(Cat(differs).any()),
            self.words.eq(Cat(lane.o_result.valid for lane in chains[0]).any()),
        ]
        return m


class _Script:
    """Micro-operations by cycle: rounds of Q.K, softmax, P.V and a matmul, each as early as
    allowed, with random rests.
    """

    def __init__(self, config: AcceleratorConfig, chance: random.Random, rest: int | None) -> None:
        self.config, self.chance, self.cycle, self.fixed_rest = config, chance, 4, rest
        self.latency = LaneLatency.of(config)
        self.operations: Operations = defaultdict(dict)

    def rest(self, least: int = 0) -> None:
        """At least `least` cycles, often many more: anything that waits must survive a stopped
        clock.
        """
        self.cycle += least + self.chance.choice(
            (0, 0, 1, self.chance.randrange(150)) if self.fixed_rest is None else (self.fixed_rest,)
        )

    def run(self, name: str, count: int, fields: Callable[[int], dict[str, Any]]) -> None:
        for index in range(count):
            self.operations[name][self.cycle + index] = fields(index)
        self.cycle += count

    def words(self) -> None:
        self.run(
            "word",
            self.config.lanes,
            lambda lane: {
                "lane": lane,
                "data": self.chance.getrandbits(8 * self.config.width),
                "exponent": self.chance.randrange(8),
            },
        )

    def step(self, target: Target, group: int, **fields: Any) -> None:
        config = self.config

        def issue(index: int) -> dict[str, Any]:
            rows = [
                [self.chance.randrange(-127, 128) for _ in range(config.width)]
                for _ in range(config.rows)
            ]
            address = group * config.tile_cycles + index
            return {
                "target": target,
                "address": address,
                "rows": rows,
                "group": group,
                **fields,
            }

        self.run("swap", 1, lambda _: {})
        self.run("issue", config.tile_cycles, issue)

    def drain(self, mode: DrainMode, target: Target, group: int, **fields: Any) -> None:
        config = self.config
        parameter = {"bias": self.chance.randrange(1 << 16), "multiplier": 40000, "shift": 18}

        def drain(index: int) -> dict[str, Any]:
            last = index == config.tile_cycles - 1
            return {
                "mode": mode,
                "target": target,
                "address": group * config.tile_cycles + index,
                "parameters": [parameter] * config.rows,
                "position": index,
                "start": index == 0,
                "emit": last and mode != DrainMode.SCORE,
                "group": group,
                "lanes_high": config.lanes,
                "heads": 1,
                **fields,
            }

        self.run("drain", config.tile_cycles, drain)

    def round(self) -> None:
        """One attention head of two key blocks, then a matmul, in one group."""
        latency, config = self.latency, self.config
        group = self.chance.randrange(config.groups)
        for block in range(2):
            self.words()
            self.rest(latency.operand)
            self.step(Target(block), group, first=1)
            self.rest(latency.accumulate)
            limit = self.chance.randrange(config.width + 1) if block else config.width
            self.drain(
                DrainMode.SCORE, Target(block), group, bank=block, limit=limit, reset=block == 0
            )
            self.rest(latency.score)
            self.run(
                "fetch",
                config.tile_cycles,
                partial(_fetch, block, group),
            )
            self.rest(latency.fetch)
            self.step(Target.OUTPUT, group, first=block == 0, rescale=block, bank=block)
            self.rest(latency.revisit)
        self.rest(latency.score_sum)
        self.run("finish", 1, lambda _: {"group": group, "multiplier": 50000, "shift": 14})
        self.rest(latency.finish)
        self.drain(self.chance.choice((DrainMode.OUTPUT, DrainMode.OUTPUT16)), Target.OUTPUT, group)
        self.rest(latency.score_revisit)
        self.words()
        self.rest(latency.operand)
        self.step(Target.BUFFER1, group, first=1)
        self.rest(latency.accumulate)
        self.drain(self.chance.choice((DrainMode.INT8, DrainMode.RELU16)), Target.BUFFER1, group)
        self.rest(latency.revisit)


def _simulate(
    config: AcceleratorConfig,
    activity: LaneActivity,
    seed: int,
    *,
    rounds: int = 3,
    rest: int | None = None,
) -> tuple[int, int, int]:
    """Cycles in which the words differ, cycles with a word, cycles with a stopped clock."""
    chance = random.Random(salted(seed))
    script = _Script(config, chance, rest)
    for _ in range(rounds):
        script.round()
    pair = _Pair(config, activity)
    counts = [0, 0, 0]

    async def bench(ctx: Any) -> None:
        for cycle in range(script.cycle + 200):
            set_lanes(ctx, pair.lanes, script.operations, cycle, chance)
            counts[0] += ctx.get(pair.differs)
            counts[1] += ctx.get(pair.words)
            counts[2] += 1 - ctx.get(activity.o_enable)
            await ctx.tick()

    simulate(pair, bench)
    return counts[0], counts[1], counts[2]


@pytest.mark.parametrize("name", ["two_lanes", *map(slow, ("four_lanes", "four_rows", "one_lane"))])
@pytest.mark.parametrize("seed", [1])
def test_a_stopped_clock_changes_nothing(name: str, seed: int) -> None:
    config = _config(name)
    differing, words, stopped = _simulate(config, LaneActivity(config=config), seed)
    assert differing == 0, f"seed {seed}"
    assert words > 5 and stopped > 100


@pytest.mark.parametrize("counter", ["ARRAY", slow("DRAIN")])
def test_a_clock_that_stops_too_early_is_found(counter: str) -> None:
    config = _config("two_lanes")
    activity = LaneActivity(config=config)
    setattr(activity, counter, 1)
    differing, words, _ = _simulate(config, activity, 1, rounds=1, rest=60)
    assert differing > 0 and words > 3


def test_the_gate_is_open_while_something_enters_and_as_long_after_it() -> None:
    config = _config("two_lanes")
    activity = LaneActivity(config=config)
    chance = random.Random(salted(3))

    async def bench(ctx: Any) -> None:
        last = {"array": -1, "drain": -1}  # a reset counts as both
        for cycle in range(3000):
            for name in last:
                entered = chance.random() < 0.02
                ctx.set(getattr(activity, name), entered)
                if entered:
                    last[name] = cycle
            expected = (
                cycle - last["array"] <= activity.ARRAY or cycle - last["drain"] <= activity.DRAIN
            )
            assert ctx.get(activity.o_enable) == expected, f"cycle {cycle}"
            await ctx.tick()

    simulate(activity, bench)


def test_synthesis_keeps_the_clock_unless_asked() -> None:
    text = gate_verilog()
    assert f"module {GATE_MODULE}(" in text
    asked, otherwise = text.split("`else", 1)
    assert "`ifdef MEADOW_CLOCK_GATE" in asked and "BUFGCE" in asked
    simulated, plain = otherwise.split("`else")
    assert "`ifdef MEADOW_SIMULATE_CLOCK_GATE" in simulated
    assert plain.split("`endif")[0].strip() == "assign gated = clk;"
