# SPDX-License-Identifier: Apache-2.0
"""The gate in front of the byte window against a count of beats."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import put, simulate
from rtl_gen.decoder.beat_front import BeatFront


def run(
    jobs: list[tuple[int, int]], *, seed: int = 0, producer: float = 0.0, consumer: float = 0.0
) -> int:
    """jobs: (cache, beats). Random stalls and late releases. Cycles from the first offer to the
    last transfer.
    """
    print(f"seed={seed} producer={producer} consumer={consumer}")
    dut = BeatFront()
    rng = random.Random(salted(seed))
    beats = [rng.getrandbits(128) for _ in range(sum(count for _, count in jobs))]
    # What must happen, in order: a beat with its checksum flags, or a release.
    events: list[tuple[str, tuple[int, int, int]]] = []
    for cache, count in jobs:
        for index in range(count):
            events.append(("beat", (not cache, index == 0, index == count - 1)))
        if not cache:
            events.append(("release", (0, 0, 0)))
    last_cycle = 0

    async def feed_jobs(ctx):
        for cache, count in jobs:
            await put(ctx, dut.i_job, {"cache": cache, "beats": count})
            while rng.random() < producer:
                await ctx.tick()

    async def bench(ctx):
        nonlocal last_cycle
        sent = 0
        position = 0
        for cycle in range(5000):
            offered = sent < len(beats) and rng.random() >= producer
            ctx.set(dut.i_beat.valid, offered)
            ctx.set(dut.i_beat.payload, beats[sent] if offered else rng.getrandbits(128))
            ctx.set(dut.o_beat.ready, rng.random() >= consumer)
            exhausted = ctx.get(dut.exhausted)
            due = position < len(events) and events[position][0] == "release"
            assert not exhausted or due
            release = exhausted and rng.random() >= consumer
            ctx.set(dut.release, release)
            taken = offered and ctx.get(dut.i_beat.ready)
            passed = ctx.get(dut.o_beat.valid) and ctx.get(dut.o_beat.ready)
            assert bool(taken) == bool(passed)
            assert ctx.get(dut.checked) <= passed
            if passed:
                last_cycle = cycle
                assert not due
                assert ctx.get(dut.o_beat.payload) == beats[sent]
                weights, first, last = events[position][1]
                assert ctx.get(dut.checked) == weights
                if weights:
                    assert ctx.get(dut.checked_first) == first
                    assert ctx.get(dut.checked_last) == last
                sent += 1
            position += bool(passed or release)
            await ctx.tick()
            if position == len(events):
                return
        raise AssertionError(f"{position} of {len(events)}")

    simulate(dut, bench, background=[feed_jobs])
    return last_cycle


def mixed(rng: random.Random, count: int) -> list[tuple[int, int]]:
    return [(rng.randrange(2), rng.choice([0, 1, 1, 2, 3, 9])) for _ in range(count)] + [(0, 1)]


@pytest.mark.parametrize(("producer", "consumer"), [(0, 0), (0.5, 0), (0, 0.6), (0.4, 0.4)])
@pytest.mark.parametrize("seed", range(3))
def test_mixed_jobs(seed: int, producer: float, consumer: float) -> None:
    run(mixed(random.Random(salted(seed)), 40), seed=seed, producer=producer, consumer=consumer)


def test_cache_jobs_have_no_gap() -> None:
    jobs = [(1, 1 + index % 5) for index in range(40)] + [(0, 20)]
    total = sum(count for _, count in jobs)
    assert run(jobs) == BeatFront.latency + total - 1


def test_dropping() -> None:
    """Beats are taken and passed nowhere, jobs stay where they are."""
    dut = BeatFront()

    async def bench(ctx):
        ctx.set(dut.i_job.payload, {"cache": 0, "beats": 4})
        ctx.set(dut.i_job.valid, 1)
        await ctx.tick()
        ctx.set(dut.i_job.valid, 0)
        ctx.set(dut.o_beat.ready, 1)
        ctx.set(dut.i_beat.valid, 1)
        for cycle in range(20):
            ctx.set(dut.drop, cycle >= 2)
            ctx.set(dut.i_job.valid, cycle >= 2)
            ctx.set(dut.o_beat.ready, cycle < 2 or cycle & 1)
            assert ctx.get(dut.i_beat.ready)
            assert ctx.get(dut.o_beat.valid) == ctx.get(dut.checked) == (cycle < 2)
            assert not ctx.get(dut.i_job.ready) and not ctx.get(dut.exhausted)
            await ctx.tick()

    simulate(dut, bench)
