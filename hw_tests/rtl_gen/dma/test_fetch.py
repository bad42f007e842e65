# SPDX-License-Identifier: Apache-2.0
"""The fetch unit against an enumeration in Python."""

from __future__ import annotations

import itertools
import random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.dma.fetch_bench import (
    CONFIGS,
    INDEX_STEP,
    QUAD,
    WIDE,
    expected,
    run,
    set_step,
    tile_order,
)
from hw_tests.seeds import salted
from hw_tests.streams import STALLS, put, simulate
from meadow.spec.commands import AttendPart, Command, Opcode, TrafficClass
from meadow.spec.config import AcceleratorConfig
from meadow.spec.step import Sequence, Step
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.dma.port_fetch import PortFetch


def attend(rng: random.Random, config: AcceleratorConfig, new: int) -> Command:
    """Of a chunk whose sequence brings `new` tokens."""
    first = rng.randrange(new)
    blocks = rng.choice([1, 1, 2, 4])
    segment = config.word_beats if blocks > 1 else rng.randrange(1, config.word_beats + 1)
    return Command(
        Opcode.ATTEND,
        {
            "blocks": blocks,
            "segment_beats": segment,
            "column_beats": config.word_beats - segment,
            "key_offset": rng.randrange(1 << 30),
            "value_offset": rng.randrange(1 << 30),
            "block_stride": rng.randrange(1 << 20),
            "part": int(rng.choice(list(AttendPart))),
            "first": first,
            "rows": rng.choice([0, 1, new - first]),
        },
    )


def load(rng: random.Random) -> Command:
    return Command(
        Opcode.LOAD,
        {
            "offset": rng.randrange(1 << 31),
            "row_beats": rng.randrange(1, 400),
            "row_set": rng.randrange(3),
            "rows": rng.choice([0, 1, 3, 4, 6, 9, 1000]),
            "traffic": int(TrafficClass.ACTIVATIONS),
        },
    )


def matmul(rng: random.Random) -> Command:
    values = {"slices": rng.randrange(1, 1 << 16), "tiles": rng.randrange(1, 1 << 12)}
    for port in range(4):
        values[f"offset{port}"] = rng.randrange(1 << 32)
        values[f"beats{port}"] = rng.randrange(1, 1 << 28)
    return Command(Opcode.MATMUL, values)


def program(rng: random.Random, config: AcceleratorConfig, length: int, new: int) -> list[Command]:
    kinds = [lambda: attend(rng, config, new), lambda: load(rng), lambda: matmul(rng)]
    return [rng.choice(kinds)() for _ in range(length)]


def random_step(rng: random.Random, config: AcceleratorConfig) -> Step:
    sequences, row = [], 0
    for _ in range(rng.randrange(1, config.sequences + 1)):
        tokens = rng.randrange(1, 8)
        position = rng.choice([0, config.width - tokens % config.width, rng.randrange(80)])
        sequences.append(Sequence(rng.randrange(1 << 30), position, tokens, row))
        row += tokens
    step = Step(tuple(sequences), head_all=bool(rng.randrange(2)))
    step.check(config)
    return step


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", [0, slow(1)])
def test_against_enumeration(name: str, seed: int, stalls: str) -> None:
    config = CONFIGS[name]
    rng = random.Random(salted(seed))
    step = random_step(rng, config)
    commands = program(rng, config, 8, step.sequences[0].tokens)
    producer, consumer = STALLS[stalls]
    reads, fills, _ = run(config, commands, step, seed=seed, producer=producer, consumer=consumer)
    for port in range(config.ports):
        want_reads, want_fills = [], []
        for index, command in enumerate(commands):
            some_reads, some_fills = expected(command, step, config, port, index * INDEX_STEP)
            want_reads += some_reads
            want_fills += some_fills
        assert reads[port] == want_reads
        filled = (
            [dict.fromkeys(fills[port][0], 0) | job for job in want_fills] if fills[port] else []
        )
        assert fills[port] == filled


def test_tile_order() -> None:
    names = ["".join((kind[0], str(block))) for kind, block in tile_order(4)]
    assert names == ["k0", "k1", "v0", "k2", "v1", "k3", "v2", "v3"]
    assert tile_order(1) == [("key", 0), ("value", 0)]
    assert tile_order(2, AttendPart.SCORES) == [("key", 0), ("key", 1)]
    assert tile_order(2, AttendPart.VALUES) == [("value", 0), ("value", 1)]


def test_ports_are_independent() -> None:
    """A port that takes nothing does not keep the others from finishing the same command."""
    command = Command(Opcode.ATTEND, {"blocks": 4, "segment_beats": 1})
    step = Step((Sequence(0, 7 * QUAD.width, QUAD.width),))
    _, _, progress = run(QUAD, [command], step, seed=0, blocked=0)
    assert progress[0][1:] == [64, 64, 64]


def starved(commands: list[Command], step: Step) -> tuple[int, int]:
    """(most cycles without work on a port behind its first descriptor, beats of port 0): a beat per
    cycle is read.
    """
    dut = FetchUnit(config=WIDE)
    ports = range(WIDE.ports)
    reads = [[read for c in commands for read in expected(c, step, WIDE, p)[0]] for p in ports]
    waits = [0] * WIDE.ports

    async def feed(ctx):
        set_step(ctx, dut.step, step)
        for command in commands:
            await put(ctx, dut.i_command, int.from_bytes(command.encode(), "little"))

    def reader(port):
        async def read(ctx):
            source = dut.o_read[port]
            ctx.set(dut.o_decode[port].ready, 1)
            for number in range(len(reads[port])):
                ctx.set(source.ready, 1)
                cycles, valid = 0, False
                while not valid:
                    _, _, valid, beats = await ctx.tick().sample(source.valid, source.payload.beats)
                    cycles += 1
                waits[port] += (cycles - 1) * (number > 0)
                ctx.set(source.ready, 0)
                if beats > 1:
                    await ctx.tick().repeat(beats - 1)

        return read

    simulate(dut, feed, *(reader(port) for port in ports))
    return max(waits), sum(read["beats"] for read in reads[0])


@pytest.mark.parametrize("part", AttendPart)
@pytest.mark.parametrize("segment_beats", [1, slow(2), slow(4)])
def test_attention_of_one_token_never_waits_for_descriptors(
    segment_beats: int, part: AttendPart
) -> None:
    """Head dims 16, 32, 64 over 1024 keys: several commands (heads), and several sequences in a
    command.
    """
    command = Command(
        Opcode.ATTEND, {"blocks": 1, "segment_beats": segment_beats, "part": int(part)}
    )
    heads = 8 // segment_beats
    waits, beats = starved([command] * heads, Step((Sequence(0, 1023, 1),)))
    assert waits == 0
    assert beats == heads * 256 * segment_beats * (2 if part == AttendPart.WHOLE else 1)
    batch = tuple(Sequence(0, 255, 1, row) for row in range(4))
    waits, _ = starved([command] * 2, Step(batch))
    assert waits == 0


def test_short_contexts_are_bound_by_the_array() -> None:
    """One K and one V tile per command and sequence: enumeration is faster than W/R cycles per
    tile.
    """
    command = Command(Opcode.ATTEND, {"blocks": 1, "segment_beats": 1})
    waits, beats = starved([command] * 8, Step((Sequence(0, 63, 1),)))
    assert waits + beats < 8 * 2 * WIDE.tile_cycles
    batch = tuple(Sequence(0, 63, 1, row) for row in range(4))
    waits, beats = starved([command] * 4, Step(batch))
    assert waits == 0 and beats < 4 * 4 * 2 * WIDE.tile_cycles


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_latency(name: str) -> None:
    for command, latency in (
        (matmul(random.Random(salted(0))), FetchUnit.latency),
        (Command(Opcode.LOAD, {"row_beats": 4, "rows": 5}), FetchUnit.load_latency),
    ):
        dut = FetchUnit(config=CONFIGS[name])
        seen = []

        async def bench(ctx, dut=dut, command=command, seen=seen):
            ctx.set(dut.i_command.payload, int.from_bytes(command.encode(), "little"))
            ctx.set(dut.i_command.valid, 1)
            for cycle in range(20):
                await ctx.tick()
                ctx.set(dut.i_command.valid, 0)
                if ctx.get(dut.o_read[0].valid):
                    seen.append(cycle + 1)

        simulate(dut, bench)
        assert seen[0] == latency


def test_cycles_per_tile() -> None:
    dut = FetchUnit(config=CONFIGS["tiny"])
    seen = []

    async def bench(ctx):
        set_step(ctx, dut.step, Step((Sequence(0, 15, 1), Sequence(0, 15, 1, 1))))
        command = Command(Opcode.ATTEND, {"blocks": 1, "segment_beats": 1})
        ctx.set(dut.i_command.payload, int.from_bytes(command.encode(), "little"))
        ctx.set(dut.i_command.valid, 1)
        ctx.set(dut.o_read[0].ready, 1)
        for cycle in range(40):
            await ctx.tick()
            ctx.set(dut.i_command.valid, 0)
            if ctx.get(dut.o_read[0].valid):
                seen.append(cycle)

    simulate(dut, bench)
    tile, sequence = PortFetch.TILE_CYCLES, PortFetch.SEQUENCE_CYCLES
    assert [b - a for a, b in itertools.pairwise(seen)] == [tile, tile + sequence, tile]


def test_what_a_descriptor_cannot_name() -> None:
    """Offsets and lengths beyond its bits are descriptors of 0 beats, which no port reads; no
    wrapped address is.
    """
    rng = random.Random(salted(3))
    config = CONFIGS["small"]
    step = Step((Sequence((1 << 32) - 700, 40, 3), Sequence(1000, 5, 2, 3)))
    commands = []
    for offset in ((1 << 32) - 700, (1 << 32) - 1, 5):
        for rows, row_beats in (
            (400, 3),
            (1, 1),
            ((1 << 20) - 1, (1 << 20) - 2),
            (1 << 12, 1 << 17),
        ):
            values = {"offset": offset, "rows": rows, "row_beats": row_beats}
            commands.append(Command(Opcode.LOAD, values))
    for offset in (0, 600, 699, 700, (1 << 32) - 1):
        values = {"key_offset": offset, "value_offset": rng.getrandbits(32), "segment_beats": 2}
        values |= {
            "blocks": rng.choice([1, 2, 63]),
            "block_stride": rng.choice([0, 9, (1 << 28) - 1]),
        }
        commands.append(Command(Opcode.ATTEND, values))
    reads, _, _ = run(config, commands, step, seed=3)
    nothing = 0
    for port in range(config.ports):
        want = [
            read
            for index, command in enumerate(commands)
            for read in expected(command, step, config, port, index * INDEX_STEP)[0]
        ]
        assert reads[port] == want
        nothing += sum(read["beats"] == 0 for read in want)
    assert nothing > 40
