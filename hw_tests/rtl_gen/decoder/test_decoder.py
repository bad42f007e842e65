# SPDX-License-Identifier: Apache-2.0
"""The decoder against a packer written from the text of meadow.spec.streams."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.decoder.decoder_bench import check, elaborated, run
from hw_tests.rtl_gen.decoder.decoder_load import QUAD, Load, load_of
from hw_tests.rtl_gen.decoder.stream_packer import pack_dictionary, pack_raw, pack_rice
from hw_tests.seeds import salted
from hw_tests.streams import put
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


def test_minus_128_of_every_codec_and_of_a_cache_is_written_as_minus_127() -> None:
    config = CONFIGS["tiny"]
    load = Load(config, Random(salted(18)))
    limits = bytes([0x80, 0x81, 0x7F, 0x80]) * (config.port_rows * config.width // 4)
    headers = [bytes(8 * config.port_rows)]
    table = [bytes([0x80]), bytes([0x81]), bytes([0x7F])]
    for stream in (
        pack_raw([limits], headers),
        pack_dictionary([limits], headers, table=table, widths=[2, 2, 2, 2]),
        pack_rice([limits], headers, widths=[LITERAL] * 4),
        pack_rice([limits], headers, widths=[6] * 4),
    ):
        load.add_stream(stream, [limits], headers, 1)
    load.add_cache(rows=config.port_rows, segment_beats=1, column_beats=0, content=limits)
    written = {element for tile in load.tiles for row in tile for element in row}
    assert written == {0x81, 0x7F}
    check([load], seed=6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stalls"),
    [
        ("quad", [*STALLS]),
        ("tiny", ["producer", "both"]),
        ("small", ["free", "consumer"]),
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
    config = CONFIGURATIONS["zcu102-paper"]
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


@pytest.mark.parametrize(
    "codecs", [slow("raw"), "raw+rice", slow("raw+dictionary"), slow("raw+dictionary+rice")]
)
def test_a_decoder_reads_the_codecs_that_it_has_and_refuses_the_others(codecs: str) -> None:
    """Each stream alone: right, or one error before anything is written. K/V rows are read by any
    decoder.
    """
    config = replace(QUAD, codecs=tuple(codecs.split("+")))
    kinds = {"raw": "raw", "rice": "rice", "chunk1": "dictionary", "fixed": "dictionary"}
    kinds = {kind: codec in config.codecs for kind, codec in kinds.items()}
    loads = [load_of(kind, config, 3, slices=2, tiles=2) for kind in kinds]
    everything = Load(config, Random(salted(8)), producer=0.2, consumer=0.6)
    for kind, has in kinds.items():
        if has:
            everything.add_load(load_of(kind, config, 4, slices=1, tiles=3))
        everything.add_cache(rows=config.port_rows, segment_beats=1, column_beats=0)
    check([load for load, has in zip(loads, kinds.values(), strict=True) if has] + [everything])
    refused = [load for load, has in zip(loads, kinds.values(), strict=True) if not has]
    for outcome in run(refused, limit=1000) if refused else []:
        assert outcome.errors == 1 and outcome.tiles == [] and outcome.headers == []


@pytest.mark.slow
def test_cache_throughput() -> None:
    """Rows of K/V tiles follow each other without gaps, also from job to job."""
    load = Load(CONFIGS["small"], Random(salted(4)))
    for _ in range(20):
        load.add_cache(rows=load.config.port_rows, segment_beats=1, column_beats=1)
    assert check([load])[0].cycles <= len(load.beats) + Decoder.latencies[Codec.RAW]


def first_writes(load: Load, triggers: list[int]) -> list[int]:
    """Cycles from the transfer of each of these beats to the next write; what comes before was long
    there.
    """
    dut, _, rig = elaborated(load.config)
    seen: list[int] = []

    async def returns(ctx):
        async for *_, tile, header in ctx.tick().sample(dut.o_tile.done, dut.o_parameter.done):
            ctx.set(dut.o_tile.free, tile)
            ctx.set(dut.o_parameter.free, header)

    async def bench(ctx):
        for job in load.jobs:
            await put(ctx, dut.i_job, job)
        for index, beat in enumerate(load.beats):
            await ctx.tick().repeat(10)
            await put(ctx, dut.i_beat, beat)
            if index in triggers:
                cycles = 1
                while not ctx.get(dut.o_tile.write.valid):
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
    # A block is the mode word and 2 packets of 3 bytes: the first beat of the payload has it.
    triggers.append(len(load.beats) + 2 + header)
    load.add_dictionary(slices=1, tiles=1, chunk=2, widths=[3] * 4, entries=8)
    # A block without low bits is nothing but the mode word.
    triggers.append(len(load.beats) + 9 + header)
    load.add_rice(slices=1, tiles=1, widths=[0] * 4)
    latencies = [
        Decoder.latencies[codec] for codec in (Codec.RAW, Codec.RAW, Codec.DICTIONARY, Codec.RICE)
    ]
    assert first_writes(load, triggers) == latencies
