# SPDX-License-Identifier: Apache-2.0
"""The decoder against a packer written from the text of meadow.spec.streams."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from hw_tests.rtl_gen.decoder.decoder_bench import (
    Load,
    add_cache,
    add_weights,
    check,
    run,
    transfer,
)
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.streams import PREAMBLE_FIELDS
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.decoder.dictionary import PacketUnpacker
from rtl_gen.decoder.tile_writer import TileWriter
from rtl_gen.stream.queue import Queue

QUAD = AcceleratorConfig(
    width=16,
    lanes=2,
    rows=2,
    groups=4,
    ports=4,
    activation_words=256,
    max_context=256,
    sequences=2,
    max_head_dim=64,
    norm_channels=256,
    decoder_elements=16,
    dictionary_entries=256,
    prefetch_beats=32,
)
CONFIGS = {"tiny": CONFIGURATIONS["tiny"], "small": CONFIGURATIONS["small"], "quad": QUAD}


STALLS = {
    "free": {},
    "producer": {"producer": 0.4},
    "consumer": {"consumer": 0.95},
    "both": {"producer": 0.3, "consumer": 0.9},
}


@pytest.mark.parametrize(
    ("name", "stalls"),
    [*(("quad", stalls) for stalls in STALLS), ("tiny", "both"), ("small", "consumer")],
)
def test_mixed_jobs(name: str, stalls: str) -> None:
    config = CONFIGS[name]
    rng = random.Random(17)
    load = Load()
    column = config.word_beats - 1
    add_weights(load, config, rng, slices=2, tiles=2)
    add_cache(load, config, rng, rows=config.port_rows, segment_beats=1, column_beats=column)
    add_weights(load, config, rng, slices=2, tiles=1, chunk=2, widths=[1, 4, 7, 8], entries=200)
    add_weights(load, config, rng, slices=1, tiles=3, chunk=1, widths=[0, 3, 5, 8], entries=131)
    add_cache(load, config, rng, rows=2, segment_beats=config.word_beats, column_beats=0)
    add_cache(load, config, rng, rows=0, segment_beats=1, column_beats=0)
    add_cache(load, config, rng, rows=0, segment_beats=1, column_beats=0)
    add_cache(load, config, rng, rows=0, segment_beats=1, column_beats=0)
    add_cache(load, config, rng, rows=1, segment_beats=1, column_beats=0)
    add_weights(load, config, rng, slices=1, tiles=1, chunk=2, widths=[0, 0, 0, 0], entries=1)
    add_weights(load, config, rng, slices=1, tiles=1)
    check(config, load, seed=5, **STALLS[stalls])


@pytest.mark.parametrize("seed", range(3))
def test_random_dictionaries(seed: int) -> None:
    config = CONFIGS["tiny"]
    rng = random.Random(seed)
    load = Load()
    for _ in range(3):
        widths = [rng.randrange(13) for _ in range(4)]
        entries = min(rng.randrange(1, 300) if seed & 1 else 1 << max(widths), 1024)
        if entries <= 1 << max(widths) // 2:
            entries = min(1024, 1 << max(widths))
        add_weights(
            load,
            config,
            rng,
            slices=rng.randrange(1, 4),
            tiles=rng.randrange(1, 3),
            chunk=rng.randrange(1, 3),
            widths=widths,
            entries=entries,
        )
    check(config, load, seed=seed, producer=0.2 * (seed % 3), consumer=0.3 * (seed % 2))


def test_large_configuration() -> None:
    config = CONFIGURATIONS["zcu102"]
    rng = random.Random(1)
    load = Load()
    add_weights(load, config, rng, slices=2, tiles=1)
    add_weights(load, config, rng, slices=2, tiles=1, chunk=2, widths=[3, 6, 9, 12], entries=4096)
    add_cache(load, config, rng, rows=16, segment_beats=4, column_beats=0)
    add_cache(load, config, rng, rows=9, segment_beats=2, column_beats=2)
    check(config, load)


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_throughput(chunk: int) -> None:
    """Raw: a beat per cycle. Dictionary: a packet per cycle while beats keep up."""
    config = CONFIGS["small"]
    rng = random.Random(3)
    load = Load()
    add_weights(load, config, rng, slices=3, tiles=3, chunk=chunk, widths=[2, 3, 4, 5], entries=32)
    cycles = check(config, load).cycles
    weights = 3 * 3 * config.port_rows * config.width
    table = 8 * chunk
    assert cycles <= weights // (8 if chunk == 1 else 16) + 3 * config.header_beats + table + 40


def test_cache_throughput() -> None:
    config = CONFIGS["small"]
    rng = random.Random(4)
    load = Load()
    for _ in range(20):
        add_cache(load, config, rng, rows=config.port_rows, segment_beats=1, column_beats=1)
    assert check(config, load).cycles <= len(load.beats) + 20


def broken(**override: int) -> Load:
    rng = random.Random(9)
    load = Load()
    add_weights(
        load,
        CONFIGS["tiny"],
        rng,
        slices=1,
        tiles=1,
        chunk=2,
        widths=[1, 2, 3, 5],
        entries=20,
        override=override,
    )
    return load


@pytest.mark.parametrize(
    "override",
    [
        {"codec": 2},
        {"chunk": 0},
        {"chunk": 3},
        {"width3": 13},
        {"entries": 0},
        {"entries": 1025},
    ],
)
def test_bad_preamble(override: dict[str, int]) -> None:
    load = broken(**override)
    outcome = run(CONFIGS["tiny"], load, limit=200)
    assert outcome.errors == 1
    assert outcome.tiles == [] and outcome.headers == []


def test_bad_index() -> None:
    load = broken()
    position = sum(field.bits for field in PREAMBLE_FIELDS[:6])
    load.beats[0] ^= (20 ^ 10) << position  # the table still fills the same beats
    assert run(CONFIGS["tiny"], load, limit=400).errors >= 1


@pytest.mark.parametrize("seed", range(3))
def test_corrupt_checksum(seed: int) -> None:
    """Any flipped bit of a raw stream behind the preamble, or of the checksum itself, is one error."""
    rng = random.Random(seed)
    config = CONFIGS["tiny"]
    load = Load()
    add_weights(load, config, rng, slices=2, tiles=2)
    spoiled = rng.randrange(1, len(load.beats)) if seed else 0
    load.beats[spoiled] ^= 1 << (rng.randrange(128) if seed else 96 + rng.randrange(32))
    expected = Load()
    add_weights(expected, config, rng, slices=1, tiles=1, chunk=2, widths=[4, 4, 4, 4], entries=16)
    load.beats += expected.beats
    load.jobs += expected.jobs
    load.tiles += expected.tiles
    load.headers += expected.headers
    outcome = run(config, load)
    assert outcome.errors == 1
    assert outcome.tiles[4:] == expected.tiles


def first_write(load: Load, trigger: int) -> int:
    """Cycles from the transfer of beat `trigger` to the first write after it, jobs long there."""
    dut = Decoder(config=CONFIGS["tiny"])
    seen = []

    async def bench(ctx):
        for job in load.jobs:
            ctx.set(dut.i_fill.payload, job)
            ctx.set(dut.i_fill.valid, 1)
            await ctx.tick()
        ctx.set(dut.i_fill.valid, 0)
        await ctx.tick().repeat(10)
        for index, beat in enumerate(load.beats):
            ctx.set(dut.i_beat.payload, beat)
            ctx.set(dut.i_beat.valid, 1)
            if index == trigger:
                break
            await transfer(ctx, dut.i_beat)
            ctx.set(dut.i_beat.valid, 0)
            await ctx.tick().repeat(10)
        for cycle in range(30):
            assert not ctx.get(dut.o_tile.valid) or seen
            await ctx.tick()
            ctx.set(dut.i_beat.valid, 0)
            if ctx.get(dut.o_tile.valid):
                seen.append(cycle + 1)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return seen[0]


def test_latency() -> None:
    config, rng = CONFIGS["tiny"], random.Random(2)
    cache = Load()
    add_cache(cache, config, rng, rows=1, segment_beats=1, column_beats=0)
    assert first_write(cache, 0) == Decoder.raw_latency
    packed = Load()
    add_weights(packed, config, rng, slices=1, tiles=1, chunk=2, widths=[3] * 4, entries=8)
    payload = 2 + config.header_beats
    assert first_write(packed, payload) == Decoder.dictionary_latency
    behind = Queue.latency + TileWriter.latency
    assert Decoder.raw_latency == 1 + behind
    assert Decoder.dictionary_latency == 2 + PacketUnpacker.latency + behind
