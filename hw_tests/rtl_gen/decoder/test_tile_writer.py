# SPDX-License-Identifier: Apache-2.0
"""The tile writer against tiles cut out of random bytes."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import Source, Stalls, simulate
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.decoder.tile_writer import TileWriter
from rtl_gen.interfaces.tile import SLOTS

CONFIGS = {
    "tiny": CONFIGURATIONS["tiny"],
    "small": CONFIGURATIONS["small"],
    "small32": dataclasses.replace(CONFIGURATIONS["small"], decoder_elements=32),
    "zcu102": CONFIGURATIONS["zcu102"],
    "zcu102x64": dataclasses.replace(CONFIGURATIONS["zcu102"], decoder_elements=64),
}
STALLS = {"free": (0.0, 0.0), "producer": (0.5, 0.0), "consumer": (0.0, 0.9), "both": (0.3, 0.8)}


@dataclass
class Load:
    """Jobs, their parts, and the tiles they make: rows of bytes or None."""

    jobs: list[dict[str, int]] = field(default_factory=list)
    parts: list[dict[str, int]] = field(default_factory=list)
    tiles: list[list[list[int | None]]] = field(default_factory=list)

    def weights(
        self, config: AcceleratorConfig, rng: random.Random, slices: int, tiles: int, *, wide: bool
    ) -> None:
        self.jobs.append({"slices": slices, "tiles": tiles})
        for _ in range(slices * tiles):
            content = _elements(rng, config.port_rows * config.width)
            within = _within_limit(content)
            self.tiles.append(
                [
                    list(within[row * config.width :][: config.width])
                    for row in range(config.port_rows)
                ]
            )
            self.add_parts(content, rng, wide=wide)

    def cache(self, config: AcceleratorConfig, rng: random.Random, **job: int) -> None:
        tile: list[list[int | None]] = [[None] * config.width for _ in range(config.port_rows)]
        for row in range(job["rows"]):
            content = _elements(rng, 16 * job["segment_beats"])
            first = 16 * job["column_beats"]
            tile[row][first : first + len(content)] = _within_limit(content)
            self.add_parts(content, rng, wide=False)
        self.jobs.append({"cache": 1, **job})
        self.tiles.append(tile)

    def add_parts(self, content: bytes, rng: random.Random, *, wide: bool) -> None:
        size = 32 if wide else 16
        for start in range(0, len(content), size):
            data = int.from_bytes(content[start : start + size], "little")
            data |= 0 if wide else rng.getrandbits(128) << 128
            self.parts.append({"data": data, "wide": int(wide)})


def _elements(rng: random.Random, size: int) -> bytes:
    """Random bytes, many of them -128 and its neighbours."""
    return bytes(rng.choice([0x80, 0x81, 0x7F, 0, rng.randrange(256)]) for _ in range(size))


def _within_limit(content: bytes) -> bytes:
    return content.replace(b"\x80", b"\x81")


@dataclass
class Outcome:
    tiles: list[list[list[int | None]]] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


def run(config: AcceleratorConfig, load: Load, producer: float, consumer: float) -> Outcome:
    dut = TileWriter(config=config)
    outcome = Outcome()
    seed = 3
    print(f"seed={seed} producer={producer} consumer={consumer}")

    jobs = Source(dut.i_job, load.jobs, Stalls(producer, seed + 1))
    parts = Source(dut.i_part, load.parts, Stalls(producer, seed + 2))

    async def collect(ctx):
        rng = random.Random(salted(seed))
        blank: list[int | None] = [None] * config.width
        slots = [[list(blank) for _ in range(config.port_rows)] for _ in range(SLOTS)]
        credits, held, begun, cycle = SLOTS, 0, False, 0
        while len(outcome.tiles) < len(load.tiles):
            free = held > 0 and rng.random() >= consumer
            ctx.set(dut.o_tile.free, free)
            await ctx.tick()
            cycle += 1
            assert cycle < 20000
            held -= free
            slot = len(outcome.tiles) % SLOTS
            valid, done = ctx.get(dut.o_tile.write.valid), ctx.get(dut.o_tile.done)
            if (valid or done) and not begun:
                begun = True
                credits -= 1
                assert credits >= 0
            credits += free
            if valid:
                outcome.writes.append(cycle)
                write = ctx.get(dut.o_tile.write.payload)
                assert write["slot"] == slot
                content = write["data"].to_bytes(config.decoder_elements, "little")
                row = slots[slot][write["row"]]
                for part in range(config.decoder_elements // 16):
                    if write["mask"] >> part & 1:
                        start = 16 * (write["column_beats"] + part)
                        assert row[start : start + 16] == [None] * 16
                        row[start : start + 16] = content[16 * part :][:16]
            if done:
                outcome.tiles.append(slots[slot])
                slots[slot] = [list(blank) for _ in range(config.port_rows)]
                held, begun = held + 1, False

    simulate(dut, collect, background=[jobs.run, parts.run])
    outcome.taken = [cycle + 1 for cycle in parts.cycles]  # ended with it
    return outcome


def mixed(config: AcceleratorConfig) -> Load:
    load, rng = Load(), random.Random(salted(9))
    beats = config.word_beats
    load.weights(config, rng, 2, 2, wide=True)
    load.cache(config, rng, rows=0, segment_beats=1, column_beats=0)
    load.cache(config, rng, rows=config.port_rows, segment_beats=1, column_beats=beats - 1)
    load.weights(config, rng, 1, 3, wide=False)
    load.weights(config, rng, 3, 1, wide=True)
    load.cache(config, rng, rows=0, segment_beats=1, column_beats=0)
    load.cache(config, rng, rows=0, segment_beats=1, column_beats=0)
    load.cache(config, rng, rows=2, segment_beats=beats, column_beats=0)
    load.weights(config, rng, 1, 1, wide=True)
    return load


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", CONFIGS)
def test_mixed_jobs(name: str, stalls: str) -> None:
    config = CONFIGS[name]
    load = mixed(config)
    assert run(config, load, *STALLS[stalls]).tiles == load.tiles


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_throughput(name: str, wide: bool) -> None:
    """A part per cycle across tiles and jobs; a wide one that is split takes two."""
    config = CONFIGS[name]
    load, rng = Load(), random.Random(salted(1))
    load.weights(config, rng, 2, 2, wide=wide)
    load.weights(config, rng, 1, 2, wide=wide)
    outcome = run(config, load, 0.0, 0.0)
    assert outcome.tiles == load.tiles
    cycles = 2 if wide and name in ("tiny", "small") else 1
    first = outcome.writes[0]
    assert outcome.writes == list(range(first, first + cycles * len(load.parts)))
    # A part is taken with its last write.
    assert first == outcome.taken[0] - (cycles - 1) + TileWriter.latency - 1
