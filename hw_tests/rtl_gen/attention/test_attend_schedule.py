# SPDX-License-Identifier: Apache-2.0
"""ATTEND schedule: order of tiles, skipped groups, trimmed steps and jobs against loops over sequences and blocks."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from meadow.spec.commands import Command, Opcode
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.array.bundles import DrainMode
from rtl_gen.attention.attend_schedule import AttendSchedule

_CONFIG = CONFIGURATIONS["small"]
_STEP = (
    "tile_last phase_first phase_last by_column index cycles address first rescale bank group "
    "fetch fetch_first"
).split()
_JOB = "mode group row end address bank reset limit multiplier".split()


def _expected(values: dict[str, int], spans: list[tuple[int, int]]) -> tuple[list, list]:
    """Steps as _STEP and, for keys, words and source; jobs as _JOB."""
    steps, jobs = [], []
    width, lanes, depth = _CONFIG.width, _CONFIG.lanes, _CONFIG.step_cycles
    blocks, stride, query = values["blocks"], values["query_stride"], values["query"]
    column = 16 * values["column_beats"] // _CONFIG.rows
    column_cycles = 16 * values["segment_beats"] // _CONFIG.rows
    first = 0
    for position, tokens in spans:
        end, keys = first + tokens, position + tokens
        count = -(-keys // width)

        def reach(g: int, first=first, end=end, position=position, keys=keys) -> int:
            last = min((g + 1) * lanes, end) - 1
            return position + last - first + 1 if values["causal"] else keys

        groups = range(first // lanes, (end - 1) // lanes + 1)
        order = [("k", 0)]
        for b in range(1, count):
            order += [("k", b), ("v", b - 1)]
        for kind, b in [*order, ("v", count - 1)]:
            seeing = [g for g in groups if reach(g) > b * width]
            for h in range(blocks):
                for g in seeing:
                    last = g == seeing[-1]
                    starts, ends = h == 0 and g == seeing[0], h == blocks - 1 and last
                    if kind == "k":
                        cycles = -(-min(width, reach(g) - b * width) // _CONFIG.rows)
                        step = (last, starts, ends, 0, 0, cycles, g * depth, h == 0, 0, b % 2, g)
                        words = min(lanes, end - g * lanes)
                        more = (0, 0, words, query + g * lanes * stride + h)
                    else:
                        starts, ends = starts and b == 0, ends and b == count - 1
                        address = (h * _CONFIG.groups + g) * depth + column
                        step = (last, starts, ends, 1, column, column_cycles, address, b == 0)
                        step += (b > 0, b % 2, g)
                        more = (1, h == 0)
                    steps.append(tuple(int(v) for v in (*step, *more)))
            address = query + groups[0] * lanes * stride
            if kind == "k":
                lane0 = position + seeing[0] * lanes - first + 1 if values["causal"] else keys
                limit, scale = lane0 - b * width, values["score_multiplier"]
                job = (DrainMode.SCORE, seeing[0], first, end, address, b % 2, int(b == 0), limit)
                jobs.append((*job, scale))
            elif b == count - 1:
                job = (DrainMode.OUTPUT, groups[0], first, end, address)
                jobs.append((*job, values["output_multiplier"]))
        first = end
    return steps, jobs


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize("causal", [0, 1], ids=["full", "causal"])
@pytest.mark.parametrize(
    ("head_dim", "column", "spans"),
    [
        (16, 1, [(0, 1)]),
        (32, 0, [(0, 64)]),
        (32, 0, [(95, 30)]),
        (64, 0, [(31, 5), (0, 33), (64, 1), (200, 2)]),
        (16, 0, [(7, 1), (100, 1), (31, 1)]),
    ],
)
def test_steps_and_jobs(
    head_dim: int, column: int, spans: list[tuple[int, int]], causal: int, stalls: bool
) -> None:
    seed = 6
    rng = random.Random(seed)
    dut = AttendSchedule(config=_CONFIG)
    values = dict(query=100, query_stride=5, blocks=max(1, head_dim // 32), causal=causal)
    values |= dict(segment_beats=min(head_dim, 32) // 16, column_beats=column)
    values |= dict(score_multiplier=77, score_shift=3, output_multiplier=99, output_shift=4)
    command = int.from_bytes(Command(Opcode.ATTEND, values).encode(), "little")
    steps, jobs, gaps = [], [], []

    def step_of(ctx) -> tuple[int, ...]:
        payload = dut.o_step.payload
        names = _STEP if ctx.get(payload.fetch) else [*_STEP, "words", "source"]
        assert ctx.get(payload.mask) == (1 << values["segment_beats"]) - 1 << column
        return tuple(ctx.get(getattr(payload, name)) for name in names)

    def job_of(ctx) -> tuple[int, ...]:
        payload = dut.o_job.payload
        job = tuple(ctx.get(getattr(payload, name)) for name in _JOB)
        return job if job[0] == DrainMode.SCORE else (*job[:5], job[-1])

    async def bench(ctx) -> None:
        ctx.set(dut.step.sequences, len(spans))
        first = 0
        for entry, (position, tokens) in zip(dut.step.entries, spans, strict=False):
            ctx.set(entry.position, position)
            ctx.set(entry.tokens, tokens)
            ctx.set(entry.first_row, first)
            first += tokens
        bits = len(dut.i_command.payload.as_value())
        ctx.set(dut.i_command.valid, 1)
        ctx.set(dut.i_command.payload.as_value(), command & (1 << bits) - 1)
        await ctx.tick()
        ctx.set(dut.i_command.valid, 0)
        waited = 0
        while ctx.get(dut.busy):
            ready = not stalls or rng.random() < 0.4
            ctx.set(dut.o_step.ready, ready)
            if ready and ctx.get(dut.o_step.valid):
                steps.append(step_of(ctx))
                gaps.append(waited)
                waited = 0
            ready = not stalls or rng.random() < 0.4
            ctx.set(dut.o_job.ready, ready)
            if ready and ctx.get(dut.o_job.valid):
                jobs.append(job_of(ctx))
            await ctx.tick()
            waited += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    want_steps, want_jobs = _expected(values, spans)
    assert steps == want_steps, f"seed {seed}"
    assert jobs == want_jobs, f"seed {seed}"
    if not stalls:
        same_tile = [
            gap
            for gap, before in zip(gaps[1:], steps[:-1], strict=True)
            if not before[_STEP.index("tile_last")]
        ]
        assert all(gap == AttendSchedule.STEP_CYCLES for gap in same_tile)
