# SPDX-License-Identifier: Apache-2.0
"""Reads a port's jobs: what is in whole beats itself, the packed payload of a slice through
BlockIssue.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import MODE_BITS, SUBSTREAMS, Codec
from rtl_gen.blocks.payload import payload_register
from rtl_gen.decoder.byte_window import RING_BEATS
from rtl_gen.decoder.mode_words import blocks_bits
from rtl_gen.decoder.preamble import PREAMBLE, PreambleCheck
from rtl_gen.decoder.weight_block import INDEX_BITS, PRIME, ROW_ENTRIES, table_write_layout
from rtl_gen.interfaces.tile import DECODE_JOB, SLOTS, FillSignature, parameter_write_layout

__all__ = ["READER_JOB", "StreamReader"]

CACHE_BEATS_BITS = 14
"""Of the beats of a K/V job: at most 256 rows of 16 beats."""

_BITS = 8 * BEAT_BYTES

READER_JOB = data.StructLayout(
    {
        name: DECODE_JOB[name].shape
        for name in ("cache", "slices", "tiles", "rows", "beats", "command")
    }
)
"""What the reader needs of a DECODE_JOB."""


class _Place:
    """Where the reader is: what its states share.

    beat: a whole beat may be read at the head of the window.
    pop: it is read.
    skip: the head is not at the beginning of a beat.
    dry: a weight stream has no more bytes.
    slice, last_slice: number of the slice, and whether it is the last one.
    cache_beat: number of the beat of a K/V job.
    table, prime: registers of these payloads.
    """

    def __init__(self, m: Module, reader: StreamReader) -> None:
        self.beat = Signal(name="beat")
        self.pop = Signal(name="pop")
        self.skip = Signal(name="skip")
        self.dry = Signal(name="dry")
        self.slice = Signal(16, name="slice", reset_less=True)
        self.last_slice = Signal(name="last_slice")
        self.cache_beat = Signal(CACHE_BEATS_BITS, name="cache_beat")
        self.table = payload_register(m, reader.table.payload, "table_row")
        self.prime = payload_register(m, reader.prime.payload, "primer")


class StreamReader(wiring.Component):
    """Parses beats as meadow.spec.streams says, one job after the other.

    Preamble, table, primer, headers, raw payload and K/V rows are read beat by beat at the head of
    the byte window; of other payload BlockIssue takes the blocks. What is left of the last beat of
    a slice is skipped.

    Members
    -------
    i_job: In stream of READER_JOB.
    head, available, offset: In, of the byte window.
    take: Out, of the byte window.
    exhausted: In, of the beat front.
    release: Out pulse, of the beat front.
    credit: In, a part more may leave.
    idle: In, no block is on its way through an unpacker; jobs start only then.
    stop: In, an error: nothing more is read until reset.
    part: Out stream of 128 bits, always ready, a plain beat.
    table: Out stream of table_write_layout, always ready.
    prime: Out stream of PRIME, always ready.
    codec, chunk2, rice, fixed, widths, entries: Out, of the preamble, stable until the next.
    start: Out pulse, blocks: Out, blocks_done: In pulse: see BlockIssue.
    o_parameter: Out(FillSignature(parameter_write_layout)), a slot for each slice header, beat by
        beat; `done` comes with the last one.
    error: Out, while there is a wrong preamble (see PreambleCheck), a beat less than the job needs,
        or bytes behind its end.
    command: Out, from the cycle after a stream's first beat, or an error instead of it, until that
        of the next: the index of its command.
    busy: Out, a job is being read.

    Throughput: a plain beat per cycle; a table beat of chunk 2 takes 2 cycles, of chunk 1 4 cycles;
    K/V jobs follow each other without a gap, 3 cycles are lost behind a preamble. Back-pressure
    through `credit` and o_parameter.free.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(READER_JOB)),
                "head": In(_BITS),
                "available": In(range(BEAT_BYTES * RING_BEATS + 1)),
                "offset": In(4),
                "take": Out(range(BEAT_BYTES + 1)),
                "exhausted": In(1),
                "release": Out(1),
                "credit": In(1),
                "idle": In(1),
                "stop": In(1),
                "part": Out(stream.Signature(_BITS, always_ready=True)),
                "table": Out(stream.Signature(table_write_layout(config), always_ready=True)),
                "prime": Out(stream.Signature(PRIME, always_ready=True)),
                "codec": Out(range(max(Codec) + 1)),
                "chunk2": Out(1),
                "rice": Out(1),
                "fixed": Out(1),
                "widths": Out(data.ArrayLayout(4, 1 << MODE_BITS)),
                "entries": Out(INDEX_BITS + 1),
                "start": Out(1),
                "blocks": Out(blocks_bits(config)),
                "blocks_done": In(1),
                "o_parameter": Out(FillSignature(parameter_write_layout(config))),
                "error": Out(1),
                "command": Out(READER_JOB["command"].shape),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, job = self.config, self.i_job.payload
        m.submodules.check = check = PreambleCheck(config=config)
        preamble = Signal(PREAMBLE, reset_less=True)
        at = _Place(m, self)
        beat, pop, skip, dry = at.beat, at.pop, at.skip, at.dry
        count = Signal(range((1 << 12) * config.port_rows * config.word_beats), reset_less=True)
        tile_beats = (config.port_rows * config.word_beats).bit_length() - 1
        raw = preamble.codec == Codec.RAW.value
        rice = payload_register(m, self.rice, "rice_register")
        command = payload_register(m, self.command, "command_register")
        m.d.comb += [
            check.preamble.eq(preamble),
            beat.eq((self.available != 0) & ~skip & ~self.stop),
            skip.eq(self.offset != 0),
            dry.eq(self.exhausted & (self.available == 0)),
            at.last_slice.eq(at.slice + 1 == job.slices),
            self.part.payload.eq(self.head),
            self.blocks.eq(job.tiles << (tile_beats - 1)),
            self.codec.eq(preamble.codec),
            self.chunk2.eq(preamble.chunk == 2),
            self.fixed.eq(preamble.fixed),
            self.widths.eq(Cat(preamble[f"width{mode}"] for mode in range(1 << MODE_BITS))),
            self.entries.eq(preamble.entries),
        ]
        m.d.sync += [
            count.eq(job.tiles << tile_beats),  # RAW counts instead
            rice.eq(preamble.codec == Codec.RICE.value),
            self.table.valid.eq(0),
            self.prime.valid.eq(0),
        ]
        with m.If(pop):
            m.d.comb += self.take.eq(BEAT_BYTES)

        with m.FSM() as fsm:
            with m.State("START"), m.If(self.i_job.valid & self.idle & ~self.stop):
                with m.If(job.cache):
                    self._cache(m, at)
                with m.Else():
                    m.d.comb += [pop.eq(beat), self.error.eq(dry)]
                    m.d.sync += [preamble.eq(self.head), at.slice.eq(0)]
                    with m.If(beat | dry):
                        m.d.sync += command.eq(job.command)
                    with m.If(beat):
                        m.next = "COMPARE"
            for state, following in (("COMPARE", "COMBINE"), ("COMBINE", "JUDGE")):
                with m.State(state):
                    m.next = following
            ahead = {Codec.DICTIONARY: ("TABLE", self._table), Codec.RICE: ("PRIMER", self._primer)}
            ahead = {codec: way for codec, way in ahead.items() if config.has_codec(codec)}
            with m.State("JUDGE"):
                m.d.comb += self.error.eq(check.wrong)
                m.next = "HEADER"
                for codec, (state, _) in ahead.items():
                    with m.If(preamble.codec == codec.value):
                        m.next = state
            for state, read in ahead.values():
                with m.State(state):
                    m.d.comb += self.error.eq(dry)
                    read(m, at)
            self._header(m, at, raw)
            with m.State("RAW"):
                m.d.comb += [
                    pop.eq(beat & self.credit),
                    self.part.valid.eq(pop),
                    self.error.eq(dry),
                ]
                m.d.sync += count.eq(count - pop)
                with m.If(pop & (count == 1)):
                    self._end_slice(m, at)
            if len(config.codecs) > 1:
                with m.State("BLOCKS"), m.If(self.blocks_done):
                    self._end_slice(m, at)
            with m.State("END"), m.If(~self.stop):
                with m.If(skip):
                    m.d.comb += self.take.eq((-self.offset)[:4])
                with m.Else():
                    m.d.comb += [
                        self.release.eq(dry),
                        self.i_job.ready.eq(dry),
                        self.error.eq(~dry),
                    ]
                    m.next = "START"
        m.d.comb += self.busy.eq(self.i_job.valid | ~fsm.ongoing("START"))
        return m

    def _end_slice(self, m: Module, at: _Place) -> None:
        """With what takes the last bytes of a slice."""
        m.d.sync += at.slice.eq(at.slice + 1)
        m.next = "HEADER"
        with m.If(at.last_slice):
            m.next = "END"

    def _cache(self, m: Module, at: _Place) -> None:
        job = self.i_job.payload
        with m.If(job.rows == 0):
            m.d.comb += self.i_job.ready.eq(1)
        with m.Elif(at.beat & self.credit):
            m.d.comb += [self.part.valid.eq(1), at.pop.eq(1)]
            m.d.sync += at.cache_beat.eq(at.cache_beat + 1)
            with m.If(at.cache_beat + 1 == job.beats[:CACHE_BEATS_BITS]):
                m.d.comb += self.i_job.ready.eq(1)
                m.d.sync += at.cache_beat.eq(0)

    def _table(self, m: Module, at: _Place) -> None:
        """ROW_ENTRIES entries per cycle."""
        quarter = Signal(2)
        entry = Signal(INDEX_BITS + 1)  # first one of the next table row
        byte_row = self.head.word_select(quarter, 8 * ROW_ENTRIES)
        entry_row = self.head.word_select(quarter[0], 16 * ROW_ENTRIES)
        bytes_wide = Cat(
            Cat(byte_row.word_select(index, 8), Const(0, 8)) for index in range(ROW_ENTRIES)
        )
        with m.If(at.beat):
            m.d.sync += [
                self.table.valid.eq(1),
                at.table.row.eq(entry >> (ROW_ENTRIES.bit_length() - 1)),
                at.table.data.eq(Mux(self.chunk2, entry_row, bytes_wide)),
                entry.eq(entry + ROW_ENTRIES),
                quarter.eq(quarter + 1),
            ]
            with m.If((quarter[0] & self.chunk2) | (quarter == 3)):
                m.d.sync += quarter.eq(0)
                m.d.comb += at.pop.eq(1)
                with m.If(entry + ROW_ENTRIES >= self.entries):
                    m.d.sync += entry.eq(0)
                    m.next = "HEADER"

    def _primer(self, m: Module, at: _Place) -> None:
        substream = Signal(range(SUBSTREAMS))
        with m.If(at.beat):
            m.d.comb += at.pop.eq(1)
            m.d.sync += [
                self.prime.valid.eq(1),
                at.prime.substream.eq(substream),
                at.prime.data.eq(self.head),
                substream.eq(substream + 1),
            ]
            with m.If(substream == SUBSTREAMS - 1):
                m.next = "HEADER"

    def _header(self, m: Module, at: _Place, raw: Value) -> None:
        """Header beats to the parameter buffer, behind what is left of the beat before."""
        config, header = self.config, self.o_parameter
        payload = payload_register(m, header.write.payload, "header")
        credits = Signal(range(SLOTS + 1), init=SLOTS)
        slot, started, take = (Signal(name=name) for name in ("slot", "started", "take"))
        beat = Signal(range(max(2, config.header_beats)))
        m.d.sync += [
            credits.eq(credits + header.free - (take & ~started)),
            header.write.valid.eq(take),
            header.done.eq(0),
            payload.slot.eq(slot),
            payload.beat.eq(beat),
            payload.data.eq(self.head),
        ]
        with m.State("HEADER"):
            m.d.comb += self.error.eq(at.dry)
            with m.If(at.skip & ~self.stop):
                m.d.comb += self.take.eq((-self.offset)[:4])
            m.d.comb += take.eq(at.beat & (started | (credits != 0)))
            with m.If(take):
                m.d.comb += at.pop.eq(1)
                m.d.sync += [started.eq(1), beat.eq(beat + 1)]
                with m.If(beat == config.header_beats - 1):
                    m.d.sync += [started.eq(0), beat.eq(0), slot.eq(~slot), header.done.eq(1)]
                    m.d.comb += self.start.eq(~raw)
                    m.next = "RAW"
                    if len(config.codecs) > 1:
                        with m.If(~raw):
                            m.next = "BLOCKS"
