# SPDX-License-Identifier: Apache-2.0
"""A bench that gives a decoder its loads and records what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from amaranth.hdl import ResetInserter, Signal, Value

from hw_tests.rtl_gen.decoder.decoder_load import Load, Tile
from hw_tests.seeds import salted
from hw_tests.streams import Rig, Source, Stalls
from meadow.spec.config import AcceleratorConfig
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.interfaces.tile import parameter_write_layout, tile_write_layout

__all__ = ["Outcome", "check", "elaborated", "run"]

_COMMAND_STEP = 0x10203
"""Between the commands of jobs, so that all bits of them change."""
_QUIET = 24
"""Cycles after which nothing more is expected of a decoder that has written everything, or has
failed.
"""


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
    tried: tuple[Any, Signal, Rig] | None = None,
    reset_cycles: int = 1,
) -> list[Outcome]:
    """Outcome of each load, all on one decoder with a reset of `reset_cycles` before each.

    tried: what is in the place of `elaborated`; a decoder that sees its reset late is given as many
    cycles behind it.

    A load ends when its beats are taken and either everything is written or there was an error;
    AssertionError if neither comes in `limit` cycles, if busy stays after a load without error, or
    if a write has no credit.
    """
    print(f"seed={seed}")
    config = loads[0].config
    dut, reset, rig = elaborated(config) if tried is None else tried
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
        jobs = Source(dut.i_job, named, Stalls(load.producer, randoms[0]))
        beats = Source(dut.i_beat, load.beats, Stalls(load.producer, randoms[1]))
        recorder = _Recorder(config)
        outcome, first, quiet = recorder.outcome, 0, 0
        frees = (recorder.tile, dut.o_tile.free), (recorder.header, dut.o_parameter.free)
        for cycle in range(limit):
            jobs.drive(ctx)
            beats.drive(ctx)
            released = [
                slots.held > 0 and randoms[2].random() >= load.consumer for slots, _ in frees
            ]
            for free, (_, port) in zip(released, frees, strict=True):
                ctx.set(port, free)
            sample = await ctx.tick().sample(*outputs)
            job_ready, beat_ready, error, error_command, busy, *writes = sample[2:]
            if beats.advance(beat_ready) and len(beats.cycles) == 1:
                first = cycle
            jobs.advance(job_ready)
            outcome.errors += error
            if error:
                outcome.blamed = commands.index(error_command)
            recorder.take_tile(writes[0], layout[0].from_bits(writes[1]), writes[2])
            recorder.take_header(writes[3], layout[1].from_bits(writes[4]), writes[5])
            for free, (slots, _) in zip(released, frees, strict=True):
                slots.release(free)
            if writes[2]:
                outcome.cycles = cycle - first
            written = len(outcome.tiles) == len(load.tiles) and len(jobs.cycles) == len(load.jobs)
            ended = len(beats.cycles) == len(load.beats) and (outcome.errors or written)
            quiet = quiet + 1 if ended else 0
            if quiet == _QUIET:
                outcome.beats = len(beats.cycles)
                assert outcome.errors or not busy
                return outcome
        raise AssertionError(
            f"load {number}: {len(outcome.tiles)} of {len(load.tiles)} tiles, {outcome.errors} "
            f"errors, "
            f"{len(beats.cycles)} of {len(load.beats)} beats taken after {limit} cycles"
        )

    async def trials(ctx: Any) -> None:
        for number, load in enumerate(loads):
            ctx.set(reset, 1)
            await ctx.tick().repeat(reset_cycles)
            ctx.set(reset, 0)
            if reset_cycles > 1:
                await ctx.tick().repeat(reset_cycles)
            outcomes.append(await trial(ctx, number, load))

    rig.simulate(trials, limit=(limit + 1) * len(loads))
    return outcomes


def check(loads: Sequence[Load], **options: Any) -> list[Outcome]:
    """The outcomes of loads that must be written completely and without error."""
    outcomes = run(loads, **options)
    for load, outcome in zip(loads, outcomes, strict=True):
        assert outcome.errors == 0
        assert outcome.tiles == load.tiles
        assert outcome.headers == load.headers
    return outcomes
