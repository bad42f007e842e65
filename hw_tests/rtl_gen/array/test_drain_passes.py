# SPDX-License-Identifier: Apache-2.0
"""Drain passes: every pass of jobs with several heads against loops over groups and blocks;
throughput, latency.
"""

from __future__ import annotations

import dataclasses
import random

import pytest

from hw_tests.rtl_gen.fields import leaves, nested
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.array.drain_passes import DrainPasses
from rtl_gen.interfaces.lane import DrainMode
from rtl_gen.interfaces.schedule import drain_job_layout

_SEED = 31
_SMALL = dataclasses.replace(CONFIGURATIONS["small"], groups=20)
_FULL = CONFIGURATIONS["zcu102-paper"]
_ONE_LANE = dataclasses.replace(CONFIGURATIONS["tiny"], lanes=1, rows=8)
_ZERO = ("mask", "remaining", "restart", "bank", "reset", "shift", "command")
"""Fields that no job here has."""
_WITH_PARAMETERS = (DrainMode.INT8, DrainMode.RELU16, DrainMode.INT16)
_TWO_WORDS = (DrainMode.INT16, DrainMode.RELU16, DrainMode.SCORE16, DrainMode.OUTPUT16)


def _job(config: AcceleratorConfig, rng: random.Random) -> dict[str, int]:
    heads = rng.randint(1, config.lanes)
    tokens = rng.randint(1, 3 * (config.lanes // heads))
    return dict(
        mode=rng.choice(list(DrainMode)),
        group=rng.randrange(config.groups - 3),
        tokens=tokens,
        heads=heads,
        blocks=rng.randint(1, max(1, config.max_head_dim // config.width)),
        row=rng.randrange(1000),
        limit=rng.randrange(-1000, 1000),
        causal=rng.randrange(2),
        operand_second=rng.randrange(2),
        base=rng.randrange(1 << 18),
        operand=rng.randrange(1 << 18),
        stride=rng.randrange(1 << 12),
        operand_stride=rng.randrange(1 << 12),
        head_stride=rng.randrange(1 << 6),
        post_shift=rng.randrange(1 << 6),
        channel=rng.randrange(1 << 20),
        multiplier=rng.randrange(1 << 16),
    )


def _passes(config: AcceleratorConfig, job: dict[str, int], slot: int) -> list[dict[str, int]]:
    heads = job["heads"]
    size = config.lanes // heads
    passes = []
    for index, before in enumerate(range(0, job["tokens"], size)):
        lanes = min(size, job["tokens"] - before) * heads
        words = 2 * lanes if job["mode"] in _TWO_WORDS else lanes
        for block in range(job["blocks"]):
            group = job["group"] + index
            final = before + size >= job["tokens"] and block == job["blocks"] - 1
            own = dict(
                group=group,
                row=job["row"] + before,
                base=job["base"] + before * job["stride"] + block,
                operand=(job["operand"] + before * job["operand_stride"]) % (1 << 20),
                limit=job["limit"] + (before if job["causal"] else 0),
                accumulator=(block * config.groups + group) * config.tile_cycles,
                lanes=lanes,
                credits=0 if job["mode"] == DrainMode.SCORE else words,
                start=int(block == 0),
                last=int(final),
            )
            if job["mode"] in _WITH_PARAMETERS:
                own["slot"] = slot
            same = {name: value for name, value in job.items() if name not in ("tokens", "blocks")}
            passes.append(same | own)
    return passes


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize("config", [_SMALL, _FULL, _ONE_LANE], ids=["small", "full", "one_lane"])
def test_passes(config: AcceleratorConfig, stalls: bool) -> None:
    rng = random.Random(salted(_SEED))
    dut = DrainPasses(config=config)
    jobs = [_job(config, rng) for _ in range(40)]
    want, slot = [], 0
    for job in jobs:
        want.append(_passes(config, job, slot))
        if job["mode"] in _WITH_PARAMETERS:
            slot ^= 1
    seen: list[list[dict[str, int]]] = []

    async def bench(ctx) -> None:
        for job, passes in zip(jobs, want, strict=True):
            uses = job["mode"] in _WITH_PARAMETERS
            ctx.set(dut.i_job.valid, 1)
            ctx.set(dut.i_job.payload, nested(drain_job_layout(config), job))
            ctx.set(dut.i_phase_done, 1)
            for port in range(config.ports):
                ctx.set(dut.i_parameter_done[port], uses)
            waited, found = 0, []
            first = None
            while len(found) < len(passes):
                ready = not stalls or rng.random() < 0.4
                ctx.set(dut.o_pass.ready, ready)
                if ctx.get(dut.o_pass.valid):
                    first = waited if first is None else first
                    if ready:
                        found.append(leaves(ctx.get(dut.o_pass.payload)))
                taken = ctx.get(dut.i_job.ready)
                await ctx.tick()
                ctx.set(dut.i_phase_done, 0)
                for port in range(config.ports):
                    ctx.set(dut.i_parameter_done[port], 0)
                if taken:
                    ctx.set(dut.i_job.valid, 0)
                waited += 1
            seen.append(found)
            assert first == DrainPasses.LATENCY
            if not stalls:
                groups = len(passes) // job["blocks"]
                assert waited == DrainPasses.LATENCY + 1 + len(passes) - 1 + groups - 1

    simulate(dut, bench)
    for job, found, passes in zip(jobs, seen, want, strict=True):
        for one, wanted in zip(found, passes, strict=True):
            # What the job does not name is 0, but the slot of one without parameters is any.
            rest = {name: value for name, value in one.items() if name not in (*wanted, "slot")}
            assert one == {**one, **wanted}, f"{job}, seed {_SEED}"
            assert not any(rest[name] for name in _ZERO), f"{job}, seed {_SEED}"


def test_a_matmul_job_waits_for_its_parameters() -> None:
    dut = DrainPasses(config=_SMALL)
    layout = drain_job_layout(_SMALL)
    job = nested(layout, dict(mode=DrainMode.INT16, tokens=1, heads=1, blocks=1))

    async def bench(ctx) -> None:
        ctx.set(dut.i_job.valid, 1)
        ctx.set(dut.i_job.payload, job)
        for pulse in (dut.i_phase_done, *dut.i_parameter_done):
            await ctx.tick().repeat(3)
            assert not ctx.get(dut.i_job.ready), f"before {pulse}"
            ctx.set(pulse, 1)
            await ctx.tick()
            ctx.set(pulse, 0)
        assert ctx.get(dut.i_job.ready)

    simulate(dut, bench)
