# SPDX-License-Identifier: Apache-2.0
"""Streams for a decoder, packed from the text of meadow.spec.streams, and a bench that records what it writes."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field

from amaranth.sim import Simulator

from meadow.spec.config import AcceleratorConfig
from meadow.spec.layout import pack_fields
from meadow.spec.streams import HEADER_BYTES, PREAMBLE_FIELDS, Codec
from rtl_gen.decoder.decoder import Decoder

__all__ = ["Load", "Outcome", "add_cache", "add_weights", "check", "run", "transfer"]


@dataclass
class Load:
    """Beats and jobs for a decoder, and what it must write: tiles of rows of bytes or None, headers."""

    jobs: list[dict[str, int]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    tiles: list[list[list[int | None]]] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)

    def add_bytes(self, stream: bytes) -> None:
        assert len(stream) % 16 == 0
        for start in range(0, len(stream), 16):
            self.beats.append(int.from_bytes(stream[start : start + 16], "little"))


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 16)


def preamble(body: bytes, **fields: int) -> bytes:
    fields.setdefault("checksum", zlib.crc32(body))
    return pack_fields(PREAMBLE_FIELDS, fields, "preamble").to_bytes(16, "little")


def dictionary_slice(indices: list[int], widths: list[int], rng: random.Random) -> bytes:
    """Any mode wide enough is right; a random one of them exercises more than the shortest."""
    word, position = 0, 0
    for start in range(0, len(indices), 8):
        packet = indices[start : start + 8]
        need = max(packet).bit_length()
        mode = rng.choice([mode for mode, width in enumerate(widths) if width >= need])
        word |= mode << position
        position += 2
        for index in packet:
            word |= index << position
            position += widths[mode]
    return padded(word.to_bytes((position + 7) // 8, "little"))


def add_weights(
    load: Load,
    config: AcceleratorConfig,
    rng: random.Random,
    *,
    slices: int,
    tiles: int,
    chunk: int = 0,
    widths: list[int] | None = None,
    entries: int = 0,
    override: dict[str, int] | None = None,
) -> None:
    """A weight stream; chunk 0 is raw. `override` replaces preamble fields."""
    elements = tiles * config.port_rows * config.width
    table = [bytes(rng.randrange(256) for _ in range(chunk)) for _ in range(entries)]
    body = padded(b"".join(table))
    for _ in range(slices):
        header = padded(rng.randbytes(HEADER_BYTES * config.port_rows))
        load.headers.append(header)
        body += header
        if chunk:
            assert widths is not None
            indices = []
            for _ in range(elements // chunk // 8):
                bits = rng.choice(widths)
                indices += [rng.randrange(min(entries, 1 << bits)) for _ in range(8)]
            weights = b"".join(table[index] for index in indices)
            body += dictionary_slice(indices, widths, rng)
        else:
            weights = rng.randbytes(elements)
            body += weights
        rows = [
            list(weights[start : start + config.width])
            for start in range(0, elements, config.width)
        ]
        for start in range(0, len(rows), config.port_rows):
            load.tiles.append(rows[start : start + config.port_rows])
    fields = {"codec": int(Codec.DICTIONARY if chunk else Codec.RAW), "chunk": chunk}
    fields |= {"entries": entries, "weights": slices * elements}
    fields |= {f"width{mode}": width for mode, width in enumerate(widths or [])}
    load.jobs.append({"slices": slices, "tiles": tiles})
    load.add_bytes(preamble(body, **(fields | (override or {}))) + body)


def add_cache(load: Load, config: AcceleratorConfig, rng: random.Random, **job: int) -> None:
    tile: list[list[int | None]] = [[None] * config.width for _ in range(config.port_rows)]
    for row in range(job["rows"]):
        content = rng.randbytes(16 * job["segment_beats"])
        first = 16 * job["column_beats"]
        tile[row][first : first + len(content)] = content
        load.add_bytes(content)
    load.tiles.append(tile)
    load.jobs.append({"cache": 1, **job})


async def transfer(ctx, port) -> None:
    """Ticks until the payload offered at `port` is taken."""
    ready = False
    while not ready:
        _, _, ready = await ctx.tick().sample(port.ready)


@dataclass
class Outcome:
    """What the decoder wrote, in order, and how many cycles it took until the last done."""

    tiles: list[list[list[int | None]]]
    headers: list[bytes]
    errors: int
    cycles: int


def run(
    config: AcceleratorConfig,
    load: Load,
    *,
    seed: int = 0,
    producer: float = 0.0,
    consumer: float = 0.0,
    limit: int = 20000,
) -> Outcome:
    """Stall probabilities of the beats and jobs (producer) and of the returned credits (consumer)."""
    print(f"seed={seed} producer={producer} consumer={consumer}")
    dut = Decoder(config=config)
    rng = random.Random(seed)
    outcome = Outcome([], [], 0, 0)

    async def feed(ctx, port, payloads, salt):
        local = random.Random(seed * 1000 + salt)
        for payload in payloads:
            while local.random() < producer:
                await ctx.tick()
            ctx.set(port.payload, payload)
            ctx.set(port.valid, 1)
            await transfer(ctx, port)
            ctx.set(port.valid, 0)

    async def feed_jobs(ctx):
        await feed(ctx, dut.i_fill, load.jobs, 1)

    async def feed_beats(ctx):
        await feed(ctx, dut.i_beat, load.beats, 2)

    async def collect(ctx):
        blank = [None] * config.width
        slots = [[list(blank) for _ in range(config.port_rows)] for _ in range(2)]
        banks = [{}, {}]
        tile_credits, header_credits = 2, 2
        tile_held, header_held = 0, 0
        tile_open = header_open = False
        quiet = 0
        for cycle in range(limit):
            free_tile = tile_held > 0 and rng.random() >= consumer
            free_header = header_held > 0 and rng.random() >= consumer
            ctx.set(dut.i_tile_free, free_tile)
            ctx.set(dut.i_parameter_free, free_header)
            await ctx.tick()
            tile_held -= free_tile
            header_held -= free_header
            outcome.errors += ctx.get(dut.error)
            slot = len(outcome.tiles) & 1
            done = ctx.get(dut.o_tile_done)
            if ctx.get(dut.o_tile.valid) or done:
                tile_credits -= not tile_open
                tile_open = True
                assert tile_credits >= 0
            tile_credits += free_tile
            if ctx.get(dut.o_tile.valid):
                write = ctx.get(dut.o_tile.payload)
                assert write["slot"] == slot
                content = write["data"].to_bytes(config.decoder_elements, "little")
                for part in range(config.decoder_elements // 16):
                    if write["mask"] >> part & 1:
                        start = 16 * (write["column_beats"] + part)
                        row = slots[slot][write["row"]]
                        row[start : start + 16] = content[16 * part : 16 * part + 16]
            if done:
                outcome.tiles.append(slots[slot])
                outcome.cycles = cycle
                slots[slot] = [list(blank) for _ in range(config.port_rows)]
                tile_open = False
                tile_held += 1
            if ctx.get(dut.o_parameter.valid):
                header_credits -= not header_open
                header_open = True
                assert header_credits >= 0
                bank = len(outcome.headers) & 1
                write = ctx.get(dut.o_parameter.payload)
                assert write["slot"] == bank
                banks[bank][write["beat"]] = write["data"].to_bytes(16, "little")
            header_credits += free_header
            if ctx.get(dut.o_parameter_done):
                bank = len(outcome.headers) & 1
                outcome.headers.append(
                    b"".join(banks[bank][beat] for beat in range(config.header_beats))
                )
                banks[bank] = {}
                header_open = False
                header_held += 1
            finished = len(outcome.tiles) == len(load.tiles)
            quiet = quiet + 1 if finished else 0
            if quiet == 20:
                assert not ctx.get(dut.busy)
                return
            if not finished:
                assert cycle < 12 or ctx.get(dut.busy) or producer
        if not outcome.errors:
            raise AssertionError(f"{len(outcome.tiles)} of {len(load.tiles)} tiles after {limit}")

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(feed_jobs, background=True)
    simulator.add_testbench(feed_beats, background=True)
    simulator.add_testbench(collect)
    simulator.run()
    return outcome


def check(config: AcceleratorConfig, load: Load, **options: float) -> Outcome:
    outcome = run(config, load, **options)
    assert outcome.tiles == load.tiles
    assert outcome.headers == load.headers
    assert outcome.errors == 0
    return outcome
