# SPDX-License-Identifier: Apache-2.0
"""What surrounds the array control in its tests, without data, and the distances that the lanes ask
for.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from functools import cache

from hw_tests.rtl_gen.array.step_registers import set_step
from hw_tests.seeds import salted
from hw_tests.streams import Rig
from meadow.spec.commands import Command
from meadow.spec.config import AcceleratorConfig
from meadow.spec.step import Step
from rtl_gen.array.array_control import ArrayControl
from rtl_gen.interfaces.epilogue import drain_modes_with
from rtl_gen.interfaces.lane import DrainMode, Target, WordKind
from rtl_gen.interfaces.result import writer_depth
from rtl_gen.lane.latency import LaneLatency

__all__ = ["ControlBench"]

_NEVER = -(1 << 20)


class _Distances:
    """Asserts every rule of LaneLatency on the micro-operations of each cycle."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config, self.rules = config, LaneLatency.of(config)
        self.last: dict[tuple, int] = defaultdict(lambda: _NEVER)
        self.loads: list[tuple[int, str]] = []  # operands for the next swaps
        self.fetch_runs: dict[tuple, int] = defaultdict(int)
        self.totals: set[int] = set()  # groups whose given total no finish has read

    def operand(self, now: int, kind: str, index: int) -> None:
        reuse = self.rules.operand_reuse if kind == "word" else self.rules.fetch_reuse
        if index == 0:
            assert now >= self.last["swap",] + reuse, f"{kind} in cycle {now}"
        self.loads.append((now, kind))

    def fetch(self, now: int, where: tuple, index: int) -> None:
        self.operand(now, "fetch", index)
        assert now >= self.last["score", where] + self.rules.score + index
        if index == self.config.tile_cycles - 1:
            self.fetch_runs[where] += 1

    def total(self, now: int, lane: int, group: int) -> None:
        if lane == 0:
            assert group not in self.totals, f"total of group {group} replaced in cycle {now}"
        self.totals.add(group)
        self.last["total", group] = now
        assert now >= self.last["score",] + self.rules.score_sum

    def swap(self, now: int) -> None:
        rules = self.rules
        kind = self.loads[0][1]
        latency = rules.fetch if kind == "fetch" else rules.operand
        words = [kind for _, kind in self.loads].count("word")
        count = self.config.tile_cycles if kind == "fetch" else words
        own, later = self.loads[:count], self.loads[count:]
        assert own and len(own) == count and all(load[1] == kind for load in own)
        assert max(own)[0] <= now - latency, f"swap in cycle {now}, operand in {own}"
        assert all(cycle >= now + rules.fetch_reuse for cycle, _ in later)
        self.loads = later
        self.last["swap",] = now

    def issue(self, now: int, target: int, address: int, where: tuple | None) -> None:
        assert now >= self.last["drain", target] + self.rules.port
        assert now >= self.last["issue", target, address] + self.rules.revisit
        self.last["issue", target] = self.last["issue", target, address] = now
        if where is not None:
            assert now >= self.last["score", where] + self.rules.score

    def drain(self, now: int, target: int, mode: int, position: int, start: int, where) -> None:
        bank, group = where
        assert now >= self.last["issue", target] + self.rules.accumulate
        self.last["drain", target] = now
        if mode == DrainMode.SCORE:
            if position == 0:
                assert start
                assert now >= self.last["score_group", group] + self.rules.score_revisit
            if position == self.config.tile_cycles - 1:
                self.last["score", where] = self.last["score_group", group] = now
                self.last["score",] = now
                self.last["score_bank", bank] = now
        if mode in drain_modes_with(lambda drain: drain.outputs) and start:
            assert now >= self.last["finish",] + self.rules.finish
            self.last["output",] = now

    def finish(self, now: int, group: int) -> None:
        assert now >= self.last["output",] + self.rules.finish_reuse
        assert now >= self.last["score_group", group] + self.rules.score_sum
        assert now >= self.last["total", group] + self.rules.total
        self.totals.discard(group)
        self.last["finish",] = now


@cache
def _elaborated(config: AcceleratorConfig) -> tuple[ArrayControl, Rig]:
    """One array control for all tests of a configuration."""
    dut = ArrayControl(config=config)
    return dut, Rig(dut)


class ControlBench:
    """Tiles, operands and writer without data; the lanes' words come exactly when the contract
    says.
    """

    def __init__(self, config: AcceleratorConfig, tiles: int, slices: int, *, stalls: bool) -> None:
        self.config, self.stalls = config, stalls
        self.tiles, self.slices = tiles, slices
        self.rng = random.Random(salted(tiles))
        self.dut, self.rig = _elaborated(config)
        self.distances = _Distances(config)
        self.busy: list[int] = []
        self.words: list[tuple[int, int]] = []

    def _chance(self, share: float) -> bool:
        return not self.stalls or self.rng.random() < share

    def run(self, commands: list[Command], step: Step, limit: int = 20000) -> None:
        async def bench(ctx) -> None:
            await self._run(ctx, commands, step, limit)

        self.rig.simulate(bench)

    async def _run(self, ctx, commands: list[Command], step: Step, limit: int) -> None:
        dut, config = self.dut, self.config
        ports = range(config.ports)
        set_step(ctx, dut.step, step)
        pending = deque(int.from_bytes(command.encode(), "little") for command in commands)
        credits = {"tile": [2] * config.ports, "parameter": [2] * config.ports}
        left = {"tile": [self.tiles] * config.ports, "parameter": [self.slices] * config.ports}
        answers: deque[int] = deque()
        results: dict[int, int] = {}
        unretired = 0
        for now in range(limit):
            ctx.set(dut.i_command.valid, bool(pending))
            if pending:
                ctx.set(dut.i_command.payload, pending[0])
            for kind, fills in (("tile", dut.i_tile_done), ("parameter", dut.i_parameter_done)):
                for port in ports:
                    done = bool(left[kind][port] and credits[kind][port]) and self._chance(0.04)
                    left[kind][port] -= done
                    credits[kind][port] -= done
                    ctx.set(fills[port], done)
            answer = bool(answers) and answers[0] <= now and self._chance(0.3)
            if answer:
                answers.popleft()
            ready = self._chance(0.5)
            ctx.set(dut.o_read.data.valid, answer)
            ctx.set(dut.o_read.address.ready, ready)
            retire = unretired > 0 and self._chance(0.1)
            unretired -= retire
            ctx.set(dut.i_result_retired, retire)
            lane = results.pop(now, None)
            ctx.set(dut.i_result.valid, lane is not None)
            ctx.set(dut.i_result.payload.lane, lane or 0)

            if ctx.get(dut.o_read.address.valid) and ready:
                answers.append(now + 4)
            if ctx.get(dut.o_tile_free):
                credits["tile"] = [credit + 1 for credit in credits["tile"]]
            if ctx.get(dut.o_parameter_free):
                credits["parameter"] = [credit + 1 for credit in credits["parameter"]]
            self._watch(ctx, now, results)
            if ctx.get(dut.o_result.valid):
                payload = dut.o_result.payload
                self.words.append((ctx.get(payload.address), ctx.get(payload.row)))
                unretired += 1
            # Words inside the lanes have their credit already.
            assert unretired + len(results) <= writer_depth(config)
            self.busy.append(ctx.get(dut.o_activity.busy_cycle))
            taken = pending and ctx.get(dut.i_command.ready)
            await ctx.tick()
            if taken:
                pending.popleft()
            if not pending and not ctx.get(dut.busy):
                break
        else:
            raise AssertionError("the array is still busy")
        assert not any(left["tile"]) and not any(left["parameter"])
        assert credits == {"tile": [2] * config.ports, "parameter": [2] * config.ports}
        assert not answers and not results and not unretired

    def _watch(self, ctx, now: int, results: dict[int, int]) -> None:
        lanes, rules = self.dut.o_lanes, self.distances
        # An operand in the cycle of a swap belongs to the next tile operation: swaps come first.
        if ctx.get(lanes.swap):
            rules.swap(now)
        if ctx.get(lanes.word.valid):
            word = ctx.get(lanes.word.payload)
            if word.kind == WordKind.TOTAL:
                rules.total(now, word.lane, word.group)
            else:
                rules.operand(now, "word", word.lane)
        if ctx.get(lanes.fetch.valid):
            fetch = ctx.get(lanes.fetch.payload)
            rules.fetch(now, (fetch.bank, fetch.group), fetch.index)
        if ctx.get(lanes.issue.valid):
            issue = ctx.get(lanes.issue.payload)
            where = (issue.bank, issue.group) if issue.target == Target.OUTPUT else None
            rules.issue(now, issue.target.value, issue.address, where)
        if ctx.get(lanes.drain.valid):
            drain = ctx.get(lanes.drain.payload)
            task = drain.task
            where = (task.bank, task.group)
            rules.drain(now, task.target.value, task.mode, drain.position, drain.start, where)
            if drain.emit:
                assert task.mode != DrainMode.SCORE
                for lane in range(drain.lanes_low, drain.lanes_high):
                    cycle = now + rules.rules.result + lane
                    assert cycle not in results, "words of two lanes meet"
                    results[cycle] = lane
        if ctx.get(lanes.finish.valid):
            rules.finish(now, ctx.get(lanes.finish.payload.group))
