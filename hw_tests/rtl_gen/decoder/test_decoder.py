# SPDX-License-Identifier: Apache-2.0
"""The decoder against a packer written from the text of meadow.spec.streams."""

from __future__ import annotations

from random import Random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.decoder.decoder_bench import QUAD, Load, check, elaborated, run
from hw_tests.rtl_gen.decoder.stream_packer import reseal
from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.streams import LITERAL, Codec
from rtl_gen.decoder.decoder import Decoder

CONFIGS = {**CONFIGURATIONS, "quad": QUAD}

STALLS = {
    "free": {},
    "producer": {"producer": 0.4},
    "consumer": {"consumer": 0.95},
    "both": {"producer": 0.3, "consumer": 0.9},
}
CODECS = ["raw", "chunk1", "chunk2", "fixed", "rice"]


def load_of(codec: str, config: AcceleratorConfig, seed: int, *, slices: int, tiles: int) -> Load:
    """One stream with all the rare things of its codec: every width, refills at any place, literal
    groups.
    """
    load = Load(config, Random(salted(seed)))
    if codec == "raw":
        return load.add_raw(slices=slices, tiles=tiles)
    if codec == "rice":
        return load.add_rice(slices=slices, tiles=tiles, widths=[0, 2, 5, LITERAL])
    if codec == "chunk1":
        return load.add_dictionary(
            slices=slices, tiles=tiles, chunk=1, widths=[0, 3, 5, 8], entries=131
        )
    return load.add_dictionary(
        slices=slices,
        tiles=tiles,
        chunk=2,
        widths=[7, 0, 0, 0] if codec == "fixed" else [1, 4, 7, 8],
        entries=101 if codec == "fixed" else 200,
        fixed=codec == "fixed",
    )


def mixed_jobs(config: AcceleratorConfig, stalls: str) -> Load:
    load = Load(config, Random(salted(17)), **STALLS[stalls])
    beats = config.word_beats
    load.add_raw(slices=2, tiles=2)
    load.add_cache(rows=config.port_rows, segment_beats=1, column_beats=beats - 1)
    load.add_dictionary(slices=2, tiles=1, chunk=2, widths=[1, 4, 7, 8], entries=200)
    load.add_rice(slices=2, tiles=3, widths=[0, 1, 4, LITERAL])
    load.add_cache(rows=2, segment_beats=beats, column_beats=0)
    load.add_dictionary(slices=1, tiles=3, chunk=1, widths=[0, 3, 5, 8], entries=131)
    load.add_cache(rows=0, segment_beats=1, column_beats=0)
    load.add_cache(rows=0, segment_beats=1, column_beats=0)
    load.add_cache(rows=0, segment_beats=1, column_beats=0)
    load.add_cache(rows=1, segment_beats=1, column_beats=0)
    load.add_dictionary(slices=1, tiles=1, chunk=2, widths=[0, 0, 0, 0], entries=1)
    load.add_rice(slices=1, tiles=1, widths=[2, 3, 6, 6])
    load.add_dictionary(slices=1, tiles=5, chunk=1, widths=[6, 0, 0, 0], entries=50, fixed=True)
    load.add_raw(slices=1, tiles=1)
    load.add_rice(slices=3, tiles=1, widths=[LITERAL] * 4)
    return load.add_cache(rows=config.port_rows, segment_beats=1, column_beats=0)


@pytest.mark.parametrize(
    ("name", "stalls"),
    [
        slow("quad", [*STALLS]),
        ("tiny", ["producer", "both"]),
        slow("small", ["free", "consumer"]),
    ],
)
def test_mixed_jobs(name: str, stalls: list[str]) -> None:
    check([mixed_jobs(CONFIGS[name], stall) for stall in stalls], seed=5)


@pytest.mark.parametrize("name", ["tiny", slow("quad")])
def test_random_streams(name: str) -> None:
    loads, config = [], CONFIGS[name]
    for seed in range(3):
        random = Random(salted(seed))
        load = Load(config, random, producer=0.2 * seed, consumer=random.choice([0, 0.6, 0.9]))
        for _ in range(4):
            sizes = {"slices": random.randrange(1, 4), "tiles": random.randrange(1, 5)}
            chunk = random.randrange(3)
            if chunk:
                widths = [random.randrange(5 + 4 * chunk) for _ in range(4)]
                largest = min(1 << max(widths), 256**chunk, config.dictionary_entries)
                entries, fixed = random.randrange(1, largest + 1), random.random() < 0.3
                load.add_dictionary(
                    **sizes, chunk=chunk, widths=widths, entries=entries, fixed=fixed
                )
            else:
                load.add_rice(**sizes, widths=random.choices([*range(7), LITERAL], k=4))
        loads.append(load)
    check(loads)


@pytest.mark.slow
def test_large_configuration() -> None:
    """All kinds of jobs at zcu102, and there the throughput.

    A beat per cycle or 24 weights, whichever is slower; beside it the table, 4 entries per cycle,
    and slice ends.
    """
    config = CONFIGURATIONS["zcu102"]
    mixed = Load(config, Random(salted(1))).add_raw(slices=2, tiles=1)
    mixed.add_dictionary(slices=2, tiles=1, chunk=2, widths=[3, 6, 9, 12], entries=4096)
    mixed.add_rice(slices=2, tiles=2, widths=[0, 3, 6, LITERAL])
    mixed.add_cache(rows=16, segment_beats=4, column_beats=0)
    mixed.add_cache(rows=9, segment_beats=2, column_beats=2)
    mixed.add_dictionary(slices=1, tiles=1, chunk=1, widths=[2, 4, 6, 8], entries=256)
    mixed.add_rice(slices=1, tiles=1, widths=[1, 2, 4, 5])
    sizes = {"slices": 2, "tiles": 3}
    loads = {"mixed": mixed, "raw": Load(config, Random(salted(3))).add_raw(**sizes)}
    for widths in ([0, 1, 1, 2], [2, 3, 3, 4], [6, LITERAL, LITERAL, LITERAL]):
        loads[f"rice {widths}"] = Load(config, Random(salted(3))).add_rice(**sizes, widths=widths)
    entries = {}
    for chunk, widths in (
        (1, [2, 3, 4, 5]),
        (1, [5, 6, 7, 8]),
        (2, [3, 5, 6, 7]),
        (2, [7, 8, 9, 10]),
    ):
        name = f"dictionary {chunk} {widths}"
        entries[name] = 1 << max(widths)
        loads[name] = Load(config, Random(salted(3))).add_dictionary(
            **sizes, chunk=chunk, widths=widths, entries=entries[name]
        )
    weights = 6 * config.port_rows * config.width
    for (name, load), outcome in list(zip(loads.items(), check([*loads.values()]), strict=True))[
        1:
    ]:
        print(f"{name}: {len(load.beats)} beats, {outcome.cycles} cycles for {weights} weights")
        slowest = max(len(load.beats), weights / 24)
        assert outcome.cycles <= slowest + entries.get(name, 0) / 4 + 40, name


def test_cache_throughput() -> None:
    """Rows of K/V tiles follow each other without gaps, also from job to job."""
    load = Load(CONFIGS["small"], Random(salted(4)))
    for _ in range(20):
        load.add_cache(rows=load.config.port_rows, segment_beats=1, column_beats=1)
    assert check([load])[0].cycles <= len(load.beats) + Decoder.latencies[Codec.RAW]


BAD_PREAMBLES = [
    ("raw", {"codec": 3}),
    ("raw", {"codec": 255}),
    ("raw", {"reserved": 1}),
    ("raw", {"reserved": 1 << 14}),
    ("chunk2", {"codec": 3}),
    ("chunk2", {"chunk": 0}),
    ("chunk2", {"chunk": 3}),
    ("chunk2", {"chunk": 129}),
    ("chunk2", {"width0": 13}),
    ("chunk2", {"width1": 14}),
    ("chunk2", {"width2": 13}),
    ("chunk2", {"width3": 15}),
    ("chunk2", {"entries": 0}),
    ("chunk2", {"entries": 1025}),
    ("chunk2", {"entries": 65535}),
    ("chunk2", {"reserved": 4}),
    ("chunk1", {"entries": 257}),
    ("chunk1", {"entries": 1024}),
    ("rice", {"width0": 7}),
    ("rice", {"width1": 9}),
    ("rice", {"width2": 12}),
    ("rice", {"width3": 15}),
    ("rice", {"fixed": 1}),
    ("rice", {"reserved": 256}),
]


def test_bad_preambles() -> None:
    """The checksum is right: it is the preamble that is refused, before anything is written."""
    loads = [
        load_of(codec, CONFIGS["tiny"], 9, slices=1, tiles=1).resealed(**override)
        for codec, override in BAD_PREAMBLES
    ]
    for bad, outcome in zip(BAD_PREAMBLES, run(loads, limit=1000), strict=True):
        assert outcome.errors == 1, bad
        assert outcome.tiles == [] and outcome.headers == [], bad


def test_index_beyond_the_table() -> None:
    """With one entry less, in the same beats, the last index is one too many; the checksum is
    right.
    """
    loads = []
    for chunk in (1, 2):
        load = Load(CONFIGS["tiny"], Random(salted(9)))
        load.add_dictionary(slices=1, tiles=1, chunk=chunk, widths=[1, 2, 3, 5], entries=20)
        loads += [load.resealed(entries=19), load]
    outcomes = run(loads)
    for wrong, right, load in zip(outcomes[::2], outcomes[1::2], loads[1::2], strict=True):
        assert wrong.errors == 1 and wrong.beats == len(load.beats)
        assert right.errors == 0 and right.tiles == load.tiles


def test_run_without_its_codewords() -> None:
    """A zero in the place of the primer's first word: no 8 codewords in 32 bits; the checksum is
    right.
    """
    config = CONFIGS["tiny"]
    load = Load(config, Random(salted(9))).add_rice(slices=1, tiles=1, widths=[0, 1, 1, 1])
    stream = load.stream()
    spoiled = [
        load.spoiled(reseal(stream[: 16 + 16 * sub] + bytes(8) + stream[24 + 16 * sub :]))
        for sub in range(8)
    ]
    for outcome in run(spoiled):
        assert outcome.errors == 1
        assert outcome.tiles == []


def lengths(stream: bytes) -> list[bytes]:
    """A beat too few or too many, half a stream, the preamble alone; with the checksum that is
    right for what there is.
    """
    beats = len(stream) // 16
    cut = [stream[: 16 * count] for count in (1, 2, beats // 2, beats - 1)]
    return [reseal(part) for part in (*cut, stream + bytes(16), stream + bytes([255]) * 320)]


def flips(stream: bytes, random: Random) -> list[bytes]:
    """One flipped bit, in the preamble or anywhere."""
    spoiled = []
    for place in (*random.sample(range(128), 8), *random.sample(range(8 * len(stream)), 16)):
        copy = bytearray(stream)
        copy[place // 8] ^= 1 << place % 8
        spoiled.append(bytes(copy))
    return spoiled


def lost_ends(stream: bytes, random: Random) -> list[bytes]:
    """From some beat on only zeros, or nothing, as after a transfer that was cut."""
    places = [16 * place for place in random.sample(range(1, len(stream) // 16 - 2), 6)]
    zeroed = [stream[:place] + bytes(len(stream) - place) for place in places[:3]]
    return [*zeroed, *(stream[:place] for place in places[3:])]


@pytest.mark.parametrize("codec", [*(slow(codec) for codec in CODECS if codec != "rice"), "rice"])
def test_spoiled_streams(codec: str) -> None:
    """Every fault is one error; all beats are dropped behind it, no job is begun, and after a reset
    the decoder works.
    """
    config, random = CONFIGS["quad"], Random(salted(codec))
    load = load_of(codec, config, 21, slices=2, tiles=3)
    follower = load_of("chunk1", config, 32, slices=1, tiles=1)
    stream = load.stream()
    spoiled = [*lengths(stream), *flips(stream, random), *lost_ends(stream, random)]
    trials = [load.spoiled(content).add_load(follower) for content in spoiled]
    for trial in trials[::2]:
        trial.producer, trial.consumer = 0.1, 0.3
    outcomes = run([*trials, load], seed=1, limit=3000)
    for number, (trial, outcome) in enumerate(zip(trials, outcomes, strict=False)):
        assert outcome.errors == 1 and outcome.blamed == 0, number
        assert outcome.beats == len(trial.beats), number
        assert len(outcome.tiles) <= len(load.tiles), number
    assert outcomes[-1].errors == 0 and outcomes[-1].tiles == load.tiles
    assert outcomes[-1].headers == load.headers


def first_writes(load: Load, triggers: list[int]) -> list[int]:
    """Cycles from the transfer of each of these beats to the next write; what comes before was long
    there.
    """
    dut, _, rig = elaborated(load.config)
    seen: list[int] = []

    async def returns(ctx):
        async for *_, tile, header in ctx.tick().sample(dut.o_tile_done, dut.o_parameter_done):
            ctx.set(dut.i_tile_free, tile)
            ctx.set(dut.i_parameter_free, header)

    async def bench(ctx):
        for job in load.jobs:
            ctx.set(dut.i_fill.payload, job)
            ctx.set(dut.i_fill.valid, 1)
            await ctx.tick().until(dut.i_fill.ready)
        ctx.set(dut.i_fill.valid, 0)
        for index, beat in enumerate(load.beats):
            await ctx.tick().repeat(10)
            ctx.set(dut.i_beat.payload, beat)
            ctx.set(dut.i_beat.valid, 1)
            await ctx.tick().until(dut.i_beat.ready)
            ctx.set(dut.i_beat.valid, 0)
            if index in triggers:
                cycles = 1
                while not ctx.get(dut.o_tile.valid):
                    await ctx.tick()
                    cycles += 1
                seen.append(cycles)

    rig.simulate(bench, background=[returns])
    return seen


def test_latency() -> None:
    load = Load(CONFIGS["quad"], Random(salted(2))).add_cache(
        rows=1, segment_beats=1, column_beats=0
    )
    triggers, header = [0], load.config.header_beats
    triggers.append(len(load.beats) + 1 + header)
    load.add_raw(slices=1, tiles=1)
    # A step is the mode word and 2 packets of 3 bytes: the first beat of the payload has it.
    triggers.append(len(load.beats) + 2 + header)
    load.add_dictionary(slices=1, tiles=1, chunk=2, widths=[3] * 4, entries=8)
    # A step without low bits is nothing but the mode word.
    triggers.append(len(load.beats) + 9 + header)
    load.add_rice(slices=1, tiles=1, widths=[0] * 4)
    latencies = [
        Decoder.latencies[codec] for codec in (Codec.RAW, Codec.RAW, Codec.DICTIONARY, Codec.RICE)
    ]
    assert first_writes(load, triggers) == latencies
