# SPDX-License-Identifier: Apache-2.0
"""Cycles of attention at full size: array control without lanes, tiles that take their DRAM cycles,
one head after another.
"""

from __future__ import annotations

import dataclasses
from collections import deque

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.array.step_registers import set_step
from hw_tests.streams import simulate
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS
from meadow.spec.step import Sequence, Step
from rtl_gen.array.array_control import ArrayControl
from rtl_gen.array.operand_loader import OperandLoader
from rtl_gen.lane.latency import LaneLatency

_CONFIG = CONFIGURATIONS["zcu102-paper"]
_WIDTH = _CONFIG.width
_READ_LATENCY = 10


def _blocks(keys: int) -> int:
    return -(-keys // _WIDTH)


def _order(keys: int) -> list[tuple[str, int]]:
    order = [("k", 0)]
    for block in range(1, _blocks(keys)):
        order += [("k", block), ("v", block - 1)]
    return [*order, ("v", _blocks(keys) - 1)]


def _beats(spans: list[tuple[int, int]]) -> list[int]:
    """Beats of the busiest port for each tile."""
    rows = [
        min(_CONFIG.port_rows, position + tokens - block * _WIDTH)
        for position, tokens in spans
        for _, block in _order(position + tokens)
    ]
    return [count * _WIDTH // BEAT_BYTES for count in rows]


def _step_cycles(spans: list[tuple[int, int]], heads: int, *, causal: bool) -> int:
    """Cycles of all steps of one command, if each also covers the load of the next one's
    operand.
    """
    steps: list[tuple[int, int]] = []
    size = _CONFIG.lanes // heads
    for position, tokens in spans:
        for kind, block in _order(position + tokens):
            for first in range(0, tokens, size):
                count = min(size, tokens - first)
                seen = position + (first + count if causal else tokens) - block * _WIDTH
                if seen > 0 and kind == "k":
                    load = count * heads + OperandLoader.OP_OVERHEAD
                    steps.append((-(-min(seen, _WIDTH) // _CONFIG.rows), load))
                elif seen > 0:
                    steps.append((_CONFIG.tile_cycles, _CONFIG.tile_cycles))
    following = [*steps[1:], steps[0]]
    return sum(max(step[0], later[1]) for step, later in zip(steps, following, strict=True))


@dataclasses.dataclass
class _Bench:
    spans: list[tuple[int, int]]
    commands: int
    causal: bool = True
    heads: int = 1
    busy: list[int] = dataclasses.field(default_factory=list)

    def run(self) -> int:
        """Cycles per command, from the first to the last issue."""
        self.dut = ArrayControl(config=_CONFIG)
        simulate(self.dut, self._run)
        last = len(self.busy) - self.busy[::-1].index(1)
        return -(-(last - self.busy.index(1)) // self.commands)

    async def _run(self, ctx) -> None:
        dut = self.dut
        rows, sequences = 0, []
        for position, tokens in self.spans:
            sequences.append(Sequence(0, position, tokens, rows))
            rows += tokens
        set_step(ctx, dut.step, Step(tuple(sequences)))
        fields = dict(query=500, query_stride=12, blocks=1, segment_beats=_WIDTH // BEAT_BYTES)
        fields |= dict(score_shift=1, causal=int(self.causal), heads=self.heads)
        command = int.from_bytes(Command(Opcode.ATTEND, fields).encode(), "little")
        pending, tiles = self.commands, deque(self.commands * _beats(self.spans))
        slots, filling, unretired = 2, 0, 0
        answers: deque[int] = deque()
        results: dict[int, int] = {}
        ctx.set(dut.o_read.address.ready, 1)
        ctx.set(dut.i_command.payload, command)
        for now in range(30000):
            ctx.set(dut.i_command.valid, pending > 0)
            done = filling == 1
            filling -= filling > 0
            if not filling and tiles and slots:
                slots, filling = slots - 1, tiles.popleft()
            for port in range(_CONFIG.ports):
                ctx.set(dut.i_tile_done[port], done)
            ctx.set(dut.o_read.data.valid, bool(answers) and answers[0] <= now)
            if answers and answers[0] <= now:
                answers.popleft()
            ctx.set(dut.i_result_retired, unretired > 0)
            unretired -= unretired > 0
            lane = results.pop(now, None)
            ctx.set(dut.i_result.valid, lane is not None)
            ctx.set(dut.i_result.payload.lane, lane or 0)

            if ctx.get(dut.o_read.address.valid):
                answers.append(now + _READ_LATENCY)
            slots += ctx.get(dut.o_tile_free)
            drain = dut.o_lanes.drain
            if ctx.get(drain.valid) and ctx.get(drain.payload.emit):
                for lane in range(ctx.get(drain.payload.lanes_high)):
                    results[now + LaneLatency.of(_CONFIG).result + lane] = lane
            unretired += ctx.get(dut.o_result.valid)
            self.busy.append(ctx.get(dut.o_activity.busy_cycle))
            taken = pending > 0 and ctx.get(dut.i_command.ready)
            await ctx.tick()
            pending -= taken
            if not pending and not ctx.get(dut.busy):
                return
        raise AssertionError("the array is still busy")


@pytest.mark.parametrize(
    ("spans", "causal", "heads"),
    [([(0, 192)], True, 1), slow([(0, 150)], False, 1), slow([(100, 40)], True, 3)],
    ids=["causal", "full", "three_heads"],
)
def test_heads_follow_each_other(spans: list[tuple[int, int]], causal: bool, heads: int) -> None:
    """Two commands take what their steps take: no latency shows between blocks, before V_last or
    between commands.
    """
    cycles = _Bench(spans, 2, causal, heads).run()
    assert cycles <= _step_cycles(spans, heads, causal=causal) + 8


@pytest.mark.parametrize(
    "spans", [[(127, 1)], [(300, 1)], [(190, 1), (110, 1)]], ids=["two", "five", "batch"]
)
def test_decode_follows_the_memory(spans: list[tuple[int, int]]) -> None:
    """One token per sequence: the DRAM never waits for the array once there are two key blocks."""
    cycles = _Bench(spans, 3).run()
    assert cycles * 0.97 <= sum(_beats(spans))


def test_one_block_shows_the_softmax() -> None:
    """A single key block has nothing between K and V: the latency from scores to probabilities
    shows, once a head.
    """
    assert _Bench([(63, 1)], 4).run() <= 180


def test_share_of_peak() -> None:
    """Useful multiplications (keys that a query sees) over the cycles of the steps, which
    `test_heads_follow_each_other` ties to the machine."""
    for tokens, least in ((512, 0.85), (2048, 0.92)):
        useful = tokens * (tokens + 1) // 2 * 2 * _WIDTH / _CONFIG.macs
        chunks = [[(position, 512)] for position in range(0, tokens, 512)]
        cycles = sum(_step_cycles(chunk, 1, causal=True) for chunk in chunks)
        assert useful >= least * cycles, (tokens, useful / cycles)
