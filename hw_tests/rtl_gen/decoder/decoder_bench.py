# SPDX-License-Identifier: Apache-2.0
"""Loads of a decoder, streams and K/V rows with what must be written, and a bench that records what
it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from amaranth.hdl import ResetInserter, Signal, Value

from hw_tests.rtl_gen.decoder.stream_packer import (
    draw_dictionary,
    draw_header,
    draw_rice,
    draw_table,
    pack_dictionary,
    pack_raw,
    pack_rice,
    reseal,
)
from hw_tests.seeds import salted
from hw_tests.streams import Rig
from hw_tests.unit_config import unit_config
from meadow.spec.config import AcceleratorConfig
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.interfaces.tile import parameter_write_layout, tile_write_layout

__all__ = ["QUAD", "Load", "Outcome", "check", "elaborated", "run"]

QUAD = unit_config(
    ports=4, groups=4, max_context=256, max_head_dim=64, norm_channels=256, prefetch_beats=32
)
"""Four ports of one tile row each."""
Tile = list[list[int | None]]

_COMMAND_STEP = 0x10203
"""Between the commands of jobs, so that all bits of them change."""
_QUIET = 24
"""Cycles after which nothing more is expected of a decoder that has written everything, or has
failed.
"""


@dataclass
class Load:
    """Beats and jobs for a decoder, and what it must write: tiles of rows of bytes or None,
    headers.

    Stall probabilities: of the beats and jobs (producer) and of the returned credits (consumer).
    """

    config: AcceleratorConfig
    random: Random
    producer: float = 0.0
    consumer: float = 0.0
    jobs: list[dict[str, int]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)

    def add_raw(self, *, slices: int, tiles: int) -> Load:
        """Random bytes."""
        size = self._elements(tiles)
        weights = [self.random.randbytes(size) for _ in range(slices)]
        headers = self._headers(slices)
        return self.add_stream(pack_raw(weights, headers), weights, headers, tiles)

    def add_dictionary(
        self,
        *,
        slices: int,
        tiles: int,
        chunk: int,
        widths: Sequence[int],
        entries: int,
        fixed: bool = False,
    ) -> Load:
        """Random indices below `entries` that fit the widths, in random modes that hold them."""
        table = draw_table(self.random, entries, chunk)
        weights = [
            draw_dictionary(
                self.random, self._elements(tiles), table, widths[:1] if fixed else widths
            )
            for _ in range(slices)
        ]
        headers = self._headers(slices)
        stream = pack_dictionary(
            weights, headers, table=table, widths=widths, fixed=fixed, random=self.random
        )
        return self.add_stream(stream, weights, headers, tiles)

    def add_rice(self, *, slices: int, tiles: int, widths: Sequence[int]) -> Load:
        """Random runs that fit the widths, in random modes that hold them."""
        size = self._elements(tiles)
        weights = [draw_rice(self.random, size, widths) for _ in range(slices)]
        headers = self._headers(slices)
        stream = pack_rice(weights, headers, widths=widths, random=self.random)
        return self.add_stream(stream, weights, headers, tiles)

    def add_cache(self, *, rows: int, segment_beats: int, column_beats: int) -> Load:
        """A K/V tile of random rows."""
        tile: Tile = [[None] * self.config.width for _ in range(self.config.port_rows)]
        for row in range(rows):
            content = self.random.randbytes(16 * segment_beats)
            first = 16 * column_beats
            tile[row][first : first + len(content)] = content
            self._add_bytes(content)
        self.tiles.append(tile)
        shape = {"rows": rows, "segment_beats": segment_beats, "column_beats": column_beats}
        self.jobs.append({"cache": 1, "beats": rows * segment_beats, **shape})
        return self

    def add_load(self, other: Load) -> Load:
        """What `other` has, behind what is here."""
        self.jobs += other.jobs
        self.beats += other.beats
        self.tiles += other.tiles
        self.headers += other.headers
        return self

    def stream(self) -> bytes:
        """All beats."""
        return b"".join(beat.to_bytes(16, "little") for beat in self.beats)

    def spoiled(self, stream: bytes) -> Load:
        """A load of one stream with other bytes, whose job says how many beats they are; nothing
        need be written.
        """
        only = {**self.jobs[0], "beats": len(stream) // 16}
        spoiled = Load(self.config, self.random, jobs=[only])
        spoiled._add_bytes(stream)
        return spoiled

    def resealed(self, **fields: int) -> Load:
        """A load of one stream with other fields in its preamble and the checksum that is right for
        it.
        """
        return self.spoiled(reseal(self.stream(), **fields))

    def _elements(self, tiles: int) -> int:
        return tiles * self.config.port_rows * self.config.width

    def _headers(self, slices: int) -> list[bytes]:
        return [draw_header(self.random, self.config.port_rows) for _ in range(slices)]

    def _add_bytes(self, stream: bytes) -> None:
        assert len(stream) % 16 == 0
        for start in range(0, len(stream), 16):
            self.beats.append(int.from_bytes(stream[start : start + 16], "little"))

    def add_stream(
        self, stream: bytes, weights: list[bytes], headers: list[bytes], tiles: int
    ) -> Load:
        """A packed stream of known content: weights and header of every slice."""
        width, port_rows = self.config.width, self.config.port_rows
        everything = b"".join(weights)
        rows: Tile = [
            list(everything[start : start + width]) for start in range(0, len(everything), width)
        ]
        self.tiles += [rows[start : start + port_rows] for start in range(0, len(rows), port_rows)]
        self.headers += headers
        self.jobs.append({"slices": len(weights), "tiles": tiles, "beats": len(stream) // 16})
        self._add_bytes(stream)
        return self


@dataclass
class Outcome:
    """What the decoder wrote, in order.

    errors: pulses of `error`. blamed: the job that the last of them names, by its place in the
    load. beats: how many were taken. cycles: from the first of them to the last tile.
    """

    tiles: list[Tile] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    errors: int = 0
    blamed: int | None = None
    beats: int = 0
    cycles: int = 0


class _Offer:
    """Offers payloads one by one, with chance `rest` of an idle cycle."""

    def __init__(self, port: Any, payloads: Sequence[Any], random: Random, rest: float) -> None:
        self.port, self.payloads, self.random, self.rest = port, payloads, random, rest
        self.taken = 0
        self.valid = False

    def offer(self, ctx: Any) -> None:
        """Drive the port in this cycle; what is offered stays until it is taken."""
        if self.taken < len(self.payloads) and not self.valid and self.random.random() >= self.rest:
            self.valid = True
            ctx.set(self.port.payload, self.payloads[self.taken])
        ctx.set(self.port.valid, self.valid)

    def end(self, ready: int) -> bool:
        """Whether it was taken in this cycle."""
        transfer = bool(self.valid and ready)
        if transfer:
            self.taken, self.valid = self.taken + 1, False
        return transfer


class _Slots:
    """Two slots that are filled in turn, and their credits as the consumer sees them."""

    def __init__(self) -> None:
        self.credits, self.held, self.open = 2, 0, False

    def release(self, free: bool) -> None:
        self.credits += free
        self.held -= free

    def write(self) -> None:
        self.credits -= not self.open
        self.open = True
        assert self.credits >= 0

    def close(self) -> None:
        self.open = False
        self.held += 1


class _Recorder:
    """Collects tiles and headers from the writes of one trial."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config, self.outcome = config, Outcome()
        self.tile, self.header = _Slots(), _Slots()
        self.rows = [self._blank(), self._blank()]
        self.header_beats: dict[int, bytes] = {}

    def _blank(self) -> Tile:
        return [[None] * self.config.width for _ in range(self.config.port_rows)]

    def take_tile(self, valid: int, write: Any, done: int) -> None:
        slot = len(self.outcome.tiles) & 1
        if valid or done:
            self.tile.write()
        if valid:
            assert write.slot == slot
            content = int(write.data).to_bytes(self.config.decoder_elements, "little")
            for part in range(self.config.decoder_elements // 16):
                if write.mask >> part & 1:
                    start = 16 * (write.column_beats + part)
                    row = self.rows[slot][write.row]
                    row[start : start + 16] = content[16 * part : 16 * part + 16]
        if done:
            self.outcome.tiles.append(self.rows[slot])
            self.rows[slot] = self._blank()
            self.tile.close()

    def take_header(self, valid: int, write: Any, done: int) -> None:
        if valid:
            self.header.write()
            assert write.slot == len(self.outcome.headers) & 1
            self.header_beats[write.beat] = int(write.data).to_bytes(16, "little")
        if done:
            beats = range(self.config.header_beats)
            self.outcome.headers.append(b"".join(self.header_beats[beat] for beat in beats))
            self.header_beats = {}
            self.header.close()


@cache
def elaborated(config: AcceleratorConfig) -> tuple[Decoder, Signal, Rig]:
    """A decoder and its reset, elaborated once for all tests of a configuration."""
    dut, reset = Decoder(config=config), Signal()
    return dut, reset, Rig(ResetInserter(reset)(dut), background=1)


def run(
    loads: Sequence[Load],
    *,
    seed: int = 0,
    limit: int = 20000,
) -> list[Outcome]:
    """Outcome of each load, all on one decoder with a reset before each.

    A load ends when its beats are taken and either everything is written or there was an error;
    AssertionError if neither comes in `limit` cycles, if busy stays after a load without error, or
    if a write has no credit.
    """
    print(f"seed={seed}")
    config = loads[0].config
    dut, reset, rig = elaborated(config)
    layout = tile_write_layout(config), parameter_write_layout(config)
    outputs = (
        *(dut.i_job.ready, dut.i_beat.ready, dut.error, dut.error_command, dut.busy),
        *(
            value
            for fill in (dut.o_tile, dut.o_parameter)
            for value in (fill.write.valid, Value.cast(fill.write.payload), fill.done)
        ),
    )
    outcomes = []

    async def trial(ctx: Any, number: int, load: Load) -> Outcome:
        randoms = [Random(salted(1000 * (seed + 7 * number) + salt)) for salt in range(3)]
        commands = [place * _COMMAND_STEP for place in range(len(load.jobs))]
        named = [
            {**job, "command": command} for job, command in zip(load.jobs, commands, strict=True)
        ]
        jobs = _Offer(dut.i_job, named, randoms[0], load.producer)
        beats = _Offer(dut.i_beat, load.beats, randoms[1], load.producer)
        recorder = _Recorder(config)
        outcome, first, quiet = recorder.outcome, 0, 0
        frees = (recorder.tile, dut.o_tile.free), (recorder.header, dut.o_parameter.free)
        for cycle in range(limit):
            jobs.offer(ctx)
            beats.offer(ctx)
            released = [
                slots.held > 0 and randoms[2].random() >= load.consumer for slots, _ in frees
            ]
            for free, (_, port) in zip(released, frees, strict=True):
                ctx.set(port, free)
            sample = await ctx.tick().sample(*outputs)
            fill_ready, beat_ready, error, error_command, busy, *writes = sample[2:]
            if beats.end(beat_ready) and beats.taken == 1:
                first = cycle
            jobs.end(fill_ready)
            outcome.errors += error
            if error:
                outcome.blamed = commands.index(error_command)
            recorder.take_tile(writes[0], layout[0].from_bits(writes[1]), writes[2])
            recorder.take_header(writes[3], layout[1].from_bits(writes[4]), writes[5])
            for free, (slots, _) in zip(released, frees, strict=True):
                slots.release(free)
            if writes[2]:
                outcome.cycles = cycle - first
            written = len(outcome.tiles) == len(load.tiles) and jobs.taken == len(load.jobs)
            ended = beats.taken == len(load.beats) and (outcome.errors or written)
            quiet = quiet + 1 if ended else 0
            if quiet == _QUIET:
                outcome.beats = beats.taken
                assert outcome.errors or not busy
                return outcome
        raise AssertionError(
            f"load {number}: {len(outcome.tiles)} of {len(load.tiles)} tiles, {outcome.errors} "
            f"errors, "
            f"{beats.taken} of {len(load.beats)} beats taken after {limit} cycles"
        )

    async def trials(ctx: Any) -> None:
        for number, load in enumerate(loads):
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            outcomes.append(await trial(ctx, number, load))

    rig.simulate(trials, limit=(limit + 1) * len(loads))
    return outcomes


def check(loads: Sequence[Load], **options: int) -> list[Outcome]:
    """The outcomes of loads that must be written completely and without error."""
    outcomes = run(loads, **options)
    for load, outcome in zip(loads, outcomes, strict=True):
        assert outcome.errors == 0
        assert outcome.tiles == load.tiles
        assert outcome.headers == load.headers
    return outcomes
