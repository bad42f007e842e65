# SPDX-License-Identifier: Apache-2.0
"""Jobs of a stream reader with what it must do, and models of what surrounds it: window, beat
front, weight blocks and slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from amaranth.hdl import Value

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import AcceleratorConfig
from meadow.spec.layout import pack_fields
from meadow.spec.streams import BLOCK_WEIGHTS, PREAMBLE_FIELDS, Codec
from rtl_gen.decoder.byte_window import RING_BEATS
from rtl_gen.decoder.dictionary import ROW_ENTRIES
from rtl_gen.decoder.reader import StreamReader
from rtl_gen.interfaces.tile import SLOTS

__all__ = ["KINDS", "Outcome", "Work", "check", "run"]

Events = dict[str, list]


@dataclass
class Work:
    """Jobs with their beats, bytes of every packed payload, and what must leave the reader, by
    kind.
    """

    config: AcceleratorConfig
    random: Random
    jobs: list[dict[str, int]] = field(default_factory=list)
    beats: list[list[bytes]] = field(default_factory=list)
    payloads: list[int] = field(default_factory=list)
    events: Events = field(default_factory=lambda: {name: [] for name in KINDS})

    def add_cache(self, rows: int, segment_beats: int) -> Work:
        beats = [self.random.randbytes(16) for _ in range(rows * segment_beats)]
        self.events["part"] += beats
        shape = {"rows": rows, "beats": len(beats)}
        return self._add({"cache": 1, **shape}, beats)

    def add_stream(
        self,
        codec: Codec,
        slices: int,
        tiles: int,
        chunk: int = 0,
        entries: int = 0,
        payload_bytes: int = 0,
    ) -> Work:
        """Any bytes where the reader does not look at them; packed payloads of a random length, or
        of this one.
        """
        random, config = self.random, self.config
        widths = [random.choice([0, 2, 6, 8 if codec == Codec.RICE else 5]) for _ in range(4)]
        fixed = int(codec == Codec.DICTIONARY and random.random() < 0.5)
        fields = {f"width{mode}": width for mode, width in enumerate(widths)}
        fields |= {"codec": codec, "chunk": chunk, "entries": entries, "fixed": fixed}
        beats = [pack_fields(PREAMBLE_FIELDS, fields, "preamble").to_bytes(16, "little")]
        if codec == Codec.DICTIONARY:
            beats += self._table(chunk, entries)
        if codec == Codec.RICE:
            primer = [random.randbytes(16) for _ in range(8)]
            self.events["prime"] += enumerate(primer)
            beats += primer
        weights = tiles * config.port_rows * config.width
        for _ in range(slices):
            slot = len(self.events["header_done"]) % SLOTS
            header = [random.randbytes(16) for _ in range(config.header_beats)]
            self.events["header"] += [(slot, beat, data) for beat, data in enumerate(header)]
            self.events["header_done"].append(len(self.events["header"]))
            beats += header
            size = weights
            if codec != Codec.RAW:
                size = payload_bytes or random.randrange(1, 100)
                self.payloads.append(size)
                how = (chunk == 2, codec == Codec.RICE, fixed, tuple(widths), entries)
                self.events["start"].append((weights // BLOCK_WEIGHTS, *how))
            payload = [random.randbytes(16) for _ in range(-(-size // 16))]
            if codec == Codec.RAW:
                self.events["part"] += payload
            beats += payload
        self.events["release"].append(len(self.jobs))
        return self._add({"slices": slices, "tiles": tiles, "beats": len(beats)}, beats)

    def _table(self, chunk: int, entries: int) -> list[bytes]:
        size = 16 // chunk
        beats = [self.random.randbytes(16) for _ in range(-(-entries // size))]
        content = b"".join(beats)
        table = [content[at : at + chunk].ljust(2, b"\0") for at in range(0, len(content), chunk)]
        for row in range(len(table) // ROW_ENTRIES):
            self.events["table"].append((row, b"".join(table[ROW_ENTRIES * row :][:ROW_ENTRIES])))
        return beats

    def _add(self, job: dict[str, int], beats: list[bytes]) -> Work:
        self.jobs.append({**job, "command": self.random.getrandbits(24)})
        self.beats.append(beats)
        return self


KINDS = ("part", "table", "prime", "header", "header_done", "start", "release")


class Window:
    """Beat front and byte window: a stream's beats wait until the one before is released."""

    def __init__(self, work: Work) -> None:
        self.todo = [list(beats) for beats in work.beats]
        self.streams = [not job.get("cache") for job in work.jobs]
        self.held: list[bytes] = []
        self.offset = 0
        self.exhausted = False

    @property
    def available(self) -> int:
        return 16 * len(self.held) - self.offset

    def advance(self, take: int, release: bool, push: bool) -> None:
        """One cycle."""
        assert take <= self.available
        assert not release or (self.exhausted and self.available == 0)
        place = len(self.held) < RING_BEATS
        self.offset += take
        self.held = self.held[self.offset // 16 :]
        self.offset %= 16
        if release:
            self.exhausted = False
        elif not self.exhausted:
            while self.todo and not self.todo[0] and not self.streams[0]:
                self._next()
            if push and place and self.todo and self.todo[0]:
                self.held.append(self.todo[0].pop(0))
            if self.todo and not self.todo[0]:
                self.exhausted = self.streams[0]
                self._next()

    def _next(self) -> None:
        self.todo.pop(0)
        self.streams.pop(0)


@dataclass
class Outcome:
    """Events by kind; cycles from the first take to the last job; command with the error, if there
    was one.
    """

    events: Events = field(default_factory=lambda: {name: [] for name in KINDS})
    jobs: int = 0
    cycles: int = 0
    blamed: int | None = None


def run(work: Work, *, producer: float = 0.0, consumer: float = 0.0, seed: int = 0) -> Outcome:
    """Until all jobs are read, or an error has stopped the reader and nothing more leaves it."""
    print(f"seed={seed}")
    dut, random = StreamReader(config=work.config), Random(salted(seed))
    outcome = Outcome()
    events = outcome.events
    outputs = (
        *(dut.take, dut.release, dut.i_job.ready, dut.error, dut.busy, dut.start, dut.blocks),
        *(dut.chunk2, dut.rice, dut.fixed, Value.cast(dut.widths), dut.entries),
        *(dut.part.valid, dut.part.payload),
        *(dut.table.valid, dut.table.payload),
        *(dut.prime.valid, dut.prime.payload),
        *(dut.o_parameter.write.valid, dut.o_parameter.write.payload, dut.o_parameter.done),
    )

    async def bench(ctx):
        window, payloads = Window(work), list(work.payloads)
        left, in_flight, credits, first, quiet = 0, 0, SLOTS, None, 0
        failed = started = False
        for cycle in range(6000):
            issued_bytes = min(left, random.randrange(1, 40), window.available)
            idle = left == 0 and in_flight == 0
            offered = outcome.jobs < len(work.jobs)
            free = credits < SLOTS and not started and random.random() >= consumer
            credit = random.random() >= consumer
            done = left > 0 and issued_bytes == left
            for port, value in (
                (dut.i_job.valid, offered),
                (dut.head, int.from_bytes(window.held[0], "little") if window.held else 99),
                (dut.available, window.available),
                (dut.offset, window.offset),
                (dut.exhausted, window.exhausted),
                (dut.credit, credit),
                (dut.idle, idle),
                (dut.stop, failed),
                (dut.blocks_done, done),
                (dut.o_parameter.free, free),
            ):
                ctx.set(port, value)
            if offered:
                ctx.set(dut.i_job.payload, work.jobs[outcome.jobs])
            take, release, ready, error, busy, *rest = (await ctx.tick().sample(*outputs))[2:]
            start, blocks, chunk2, rice, fixed, widths, entries, *rest = rest
            part_valid, part, table_valid, table, prime_valid, prime, *rest = rest
            header_valid, header, header_done = rest
            assert not failed or not (take or release or ready or start or part_valid)
            assert busy or not (take or error)
            assert not take or left == 0
            if take and first is None:
                first = cycle
            # Written a cycle later than it was taken, so also in the first cycle of `stop`.
            if table_valid:
                data = int(table["data"]).to_bytes(2 * ROW_ENTRIES, "little")
                events["table"].append((table["row"], data))
            if prime_valid:
                events["prime"].append((prime["substream"], prime["data"].to_bytes(16, "little")))
            credits += free
            if header_valid:
                if not started:
                    credits -= 1
                    assert credits >= 0
                started = not header_done
                data = header["data"].to_bytes(16, "little")
                events["header"].append((header["slot"], header["beat"], data))
            if header_done:
                events["header_done"].append(len(events["header"]))
            if part_valid:
                assert credit
                events["part"].append(part.to_bytes(16, "little"))
            if failed:
                quiet += 1
                if quiet == 1:
                    outcome.blamed = ctx.get(dut.command)
                if quiet == 20:
                    return
                continue
            failed = bool(error)
            if start:
                widths = tuple(widths >> 4 * mode & 15 for mode in range(4))
                events["start"].append((blocks, chunk2, rice, fixed, widths, entries))
                left = payloads.pop(0)
            elif left:
                left -= issued_bytes
                in_flight = 5 if left == 0 else 0
            else:
                in_flight = max(0, in_flight - 1)
            if release:
                events["release"].append(outcome.jobs)
            window.advance(take or issued_bytes, bool(release), random.random() >= producer)
            if ready and offered:
                outcome.jobs += 1
                outcome.cycles = cycle - (first or 0) + 1
                if outcome.jobs == len(work.jobs):
                    ctx.set(dut.i_job.valid, 0)
                    await ctx.tick().repeat(3)
                    assert not ctx.get(dut.busy)
                    return
        raise AssertionError(f"{outcome.jobs} of {len(work.jobs)} jobs")

    simulate(dut, bench)
    return outcome


def check(work: Work, **options) -> Outcome:
    outcome = run(work, **options)
    assert outcome.blamed is None and outcome.jobs == len(work.jobs)
    for kind in KINDS:
        assert outcome.events[kind] == work.events[kind], kind
    return outcome
