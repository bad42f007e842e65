# SPDX-License-Identifier: Apache-2.0
"""Reads a port's beats: preamble, table, headers and payload of weight streams, and plain K/V rows."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import PACKET_IDS, PREAMBLE_FIELDS, Codec
from rtl_gen.decoder.bundles import FILL_JOB, parameter_write_layout
from rtl_gen.decoder.dictionary import INDEX_BITS, PACKET, ROW_ENTRIES
from rtl_gen.decoder.tile_writer import SLOTS

__all__ = ["StreamReader"]

_BITS = 8 * BEAT_BYTES
_MODE_BITS = 2
_PAIRS = _BITS // _MODE_BITS
"""Packets start at even bits and have even lengths, so positions and lengths count pairs of bits."""

_PREAMBLE = data.StructLayout({field.name: field.bits for field in PREAMBLE_FIELDS})


class StreamReader(wiring.Component):
    """Parses beats as meadow.spec.streams says, one job after the other.

    It looks at two beats. Plain beats (raw payload, K/V rows) leave as they are. Of dictionary payload only the chain
    of packet starts is followed here: position' = position + 1 + 4*width[mode at position], in pairs of bits; the
    packet itself goes on as a 128-bit window.

    Parameter: config. Members
    -------
    i_job: In stream of FILL_JOB. i_beat: In stream of 128 bits.
    room: In, a part of 16 weights more may leave. unpacking: In, packets are on their way; jobs start without any.
    part: Out {valid, data}, a plain beat. packet: Out PACKET. table: Out, see PacketUnpacker. chunk2, entries: Out.
    o_parameter: Out {valid, payload: parameter_write_layout}; o_parameter_done: Out pulse with a header's last beat;
    i_parameter_free: In pulse, SLOTS headers may be written at first.
    checked: Out, a beat under the checksum leaves; checked_data, checked_first, checked_last, checksum: Out with it.
    bad_preamble: Out pulse: unknown codec, chunk other than 1 or 2, a width above 12, entries 0 or above
        dictionary_entries. The reader then drops beats and takes no job until reset; `busy` stays 1.
    busy: Out, a job is being read.

    Throughput: a plain beat or a packet per cycle; a table beat of chunk 2 takes 2 cycles, of chunk 1 4 cycles; 2 cycles
    per stream and at most 1 per slice are lost. Back-pressure through `room` and i_parameter_free.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        rows = config.dictionary_entries // ROW_ENTRIES
        super().__init__(
            {
                "i_job": In(stream.Signature(FILL_JOB)),
                "i_beat": In(stream.Signature(_BITS)),
                "room": In(1),
                "unpacking": In(1),
                "part": Out(data.StructLayout({"valid": 1, "data": _BITS})),
                "packet": Out(PACKET),
                "table": Out(
                    data.StructLayout({"valid": 1, "row": range(rows), "data": 16 * ROW_ENTRIES})
                ),
                "chunk2": Out(1),
                "entries": Out(INDEX_BITS + 1),
                "o_parameter": Out(
                    data.StructLayout({"valid": 1, "payload": parameter_write_layout(config)})
                ),
                "o_parameter_done": Out(1),
                "i_parameter_free": In(1),
                "checked": Out(1),
                "checked_data": Out(_BITS),
                "checked_first": Out(1),
                "checked_last": Out(1),
                "checksum": Out(32),
                "bad_preamble": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, job = self.config, self.i_job.payload
        self._beats(m)
        head, valid, pop = self._head, self._head_valid, self._pop
        preamble = Signal(_PREAMBLE)
        first, dictionary = Signal(), Signal()
        last_slice = self._last_slice = Signal()
        slice_done = self._slice_done = Signal()
        piece = self._piece = Signal(16)
        units = (1 << 12) * config.port_rows * config.width // PACKET_IDS
        count = self._count = Signal(range(units + 1))  # parts or packets left of this slice
        last_unit = self._last_unit = Signal()
        m.d.comb += [
            last_slice.eq(piece + 1 == job.slices),
            last_unit.eq(count == 1),
            self.checked_data.eq(head),
            self.checked_first.eq(first),
            self.checked_last.eq(slice_done & last_slice),
            self.checksum.eq(preamble.checksum),
            self.part.data.eq(head),
        ]
        with m.If(pop):
            m.d.sync += first.eq(0)
        self._parameters(m)
        self._lengths(m, preamble)

        with m.FSM() as fsm:
            with m.State("START"), m.If(self.i_job.valid):
                with m.If(job.cache):
                    self._cache(m)
                with m.Elif(valid & ~self.unpacking):
                    m.d.comb += pop.eq(1)
                    m.d.sync += [preamble.eq(head), first.eq(1), piece.eq(0)]
                    m.next = "CHECK"
            with m.State("CHECK"):
                widths = [preamble[f"width{mode}"] for mode in range(1 << _MODE_BITS)]
                wrong = (
                    (preamble.chunk == 0)
                    | (preamble.chunk > 2)
                    | (preamble.entries == 0)
                    | (preamble.entries > config.dictionary_entries)
                )
                for width in widths:
                    wrong = wrong | (width > INDEX_BITS)
                m.d.sync += [
                    self.chunk2.eq(preamble.chunk == 2),
                    self.entries.eq(preamble.entries),
                    dictionary.eq(preamble.codec == int(Codec.DICTIONARY)),
                ]
                with m.If(preamble.codec == int(Codec.RAW)):
                    m.next = "HEADER"
                with m.Elif((preamble.codec == int(Codec.DICTIONARY)) & ~wrong):
                    m.next = "TABLE"
                with m.Else():
                    m.d.comb += self.bad_preamble.eq(1)
                    m.next = "FAILED"
            self._table(m)
            self._header(m, dictionary)
            with m.State("RAW"), m.If(valid & self.room):
                m.d.comb += [self.part.valid.eq(1), pop.eq(1), self.checked.eq(1)]
                m.d.sync += count.eq(count - 1)
                with m.If(last_unit):
                    self._finish_slice(m)
            self._packets(m)
            with m.State("FAILED"):
                m.d.comb += pop.eq(valid)
        m.d.comb += self.busy.eq(self.i_job.valid | ~fsm.ongoing("START"))
        return m

    def _beats(self, m: Module) -> None:
        """The window of two beats; `pop` drops the first."""
        self._head, self._next = Signal(_BITS), Signal(_BITS)
        self._head_valid, self._next_valid, self._pop = Signal(), Signal(), Signal()
        beat = self.i_beat
        m.d.comb += beat.ready.eq(~self._next_valid | self._pop)
        with m.If(self._pop | ~self._head_valid):
            m.d.sync += [
                self._head.eq(Mux(self._next_valid, self._next, beat.payload)),
                self._head_valid.eq(self._next_valid | beat.valid),
                self._next.eq(beat.payload),
                self._next_valid.eq(self._next_valid & beat.valid),
            ]
        with m.Elif(~self._next_valid):
            m.d.sync += [self._next.eq(beat.payload), self._next_valid.eq(beat.valid)]

    def _finish_slice(self, m: Module) -> None:
        """In the cycle in which the last beat of a slice is dropped."""
        m.d.comb += self._slice_done.eq(1)
        m.d.sync += self._piece.eq(self._piece + 1)
        m.next = "HEADER"
        with m.If(self._last_slice):
            m.d.comb += self.i_job.ready.eq(1)
            m.next = "START"

    def _cache(self, m: Module) -> None:
        job = self.i_job.payload
        row = Signal(range(self.config.port_rows))
        segment = Signal(5)
        with m.If(job.rows == 0):
            m.d.comb += self.i_job.ready.eq(1)
        with m.Elif(self._head_valid & self.room & ~self.unpacking):
            m.d.comb += [self.part.valid.eq(1), self._pop.eq(1)]
            m.d.sync += segment.eq(segment + 1)
            with m.If(segment + 1 == job.segment_beats):
                m.d.sync += [segment.eq(0), row.eq(row + 1)]
                with m.If(row + 1 == job.rows):
                    m.d.comb += self.i_job.ready.eq(1)
                    m.d.sync += row.eq(0)

    def _table(self, m: Module) -> None:
        """Beats of the table, ROW_ENTRIES entries per cycle."""
        step = Signal(2)
        entry = Signal(INDEX_BITS + 1)  # first one of the next table row
        byte_row = self._head.word_select(step, 8 * ROW_ENTRIES)
        entry_row = self._head.word_select(step[0], 16 * ROW_ENTRIES)
        bytes_wide = Cat(
            Cat(byte_row.word_select(index, 8), Const(0, 8)) for index in range(ROW_ENTRIES)
        )
        with m.State("TABLE"), m.If(self._head_valid):
            m.d.sync += [
                self.table.valid.eq(1),
                self.table.row.eq(entry >> (ROW_ENTRIES.bit_length() - 1)),
                self.table.data.eq(Mux(self.chunk2, entry_row, bytes_wide)),
                entry.eq(entry + ROW_ENTRIES),
                step.eq(step + 1),
            ]
            with m.If((step[0] & self.chunk2) | (step == 3)):
                m.d.sync += step.eq(0)
                m.d.comb += [self._pop.eq(1), self.checked.eq(1)]
                with m.If(entry + ROW_ENTRIES >= self.entries):
                    m.d.sync += entry.eq(0)
                    m.next = "HEADER"

    def _parameters(self, m: Module) -> None:
        """Header beats to the parameter buffer, and its credits."""
        self._credits = Signal(range(SLOTS + 1), init=SLOTS)
        self._slot, self._started, self._take = Signal(), Signal(), Signal()
        self._header_beat = Signal(range(max(2, self.config.header_beats)))
        payload = self.o_parameter.payload
        m.d.sync += [
            self._credits.eq(self._credits + self.i_parameter_free - (self._take & ~self._started)),
            self.o_parameter.valid.eq(self._take),
            self.o_parameter_done.eq(0),
            payload.slot.eq(self._slot),
            payload.beat.eq(self._header_beat),
            payload.data.eq(self._head),
        ]

    def _header(self, m: Module, dictionary: Signal) -> None:
        config, job = self.config, self.i_job.payload
        part_log2 = (config.port_rows * config.word_beats).bit_length() - 1
        slot, beat, started = self._slot, self._header_beat, self._started
        with m.State("HEADER"):
            with m.If(self._head_valid & (started | (self._credits != 0))):
                m.d.comb += [self._take.eq(1), self._pop.eq(1), self.checked.eq(1)]
                m.d.sync += [started.eq(1), beat.eq(beat + 1)]
                with m.If(beat == config.header_beats - 1):
                    m.d.sync += [
                        started.eq(0),
                        beat.eq(0),
                        slot.eq(~slot),
                        self.o_parameter_done.eq(1),
                        self._count.eq(job.tiles << part_log2),
                    ]
                    m.next = "RAW"
                    with m.If(dictionary):
                        m.next = "PACKETS"
                        with m.If(~self.chunk2):
                            m.d.sync += self._count.eq(job.tiles << (part_log2 + 1))

    def _lengths(self, m: Module, preamble: data.View) -> None:
        """Width and length of the packet at `position`, and its window with the coarse half of the shift."""
        self._position = position = Signal(range(_PAIRS))
        self._after = Signal(range(2 * _PAIRS))
        modes = range(1 << _MODE_BITS)
        width, step = Signal(4), Signal(6)
        steps = [Signal(6, name=f"step{index}") for index in modes]
        with m.Switch(self._head.word_select(position, _MODE_BITS)):
            for index in modes:
                with m.Case(index):
                    m.d.comb += [step.eq(steps[index]), width.eq(preamble[f"width{index}"])]
        both = Cat(self._head, self._next)
        m.d.comb += self._after.eq(position + step)
        m.d.sync += [
            *(steps[index].eq(1 + 4 * preamble[f"width{index}"][:4]) for index in modes),
            self.table.valid.eq(0),
            self.packet.valid.eq(0),
            self.packet.window.eq((both >> (position[4:] << 5))[:_BITS]),
            self.packet.fine.eq(position[:4]),
            self.packet.width.eq(width),
        ]

    def _packets(self, m: Module) -> None:
        """The chain of packet starts."""
        position, after = self._position, self._after
        with m.State("PACKETS"):
            with m.If(self._head_valid & (self._next_valid | (after <= _PAIRS)) & self.room):
                m.d.comb += self._pop.eq(after[6] | self._last_unit)
                m.d.comb += self.checked.eq(self._pop)
                m.d.sync += [
                    self.packet.valid.eq(1),
                    position.eq(after),
                    self._count.eq(self._count - 1),
                ]
                with m.If(self._last_unit):
                    m.d.sync += position.eq(0)
                    with m.If(after > _PAIRS):
                        m.next = "TAIL"
                    with m.Else():
                        self._finish_slice(m)
        with m.State("TAIL"):  # the last packet ended in this beat
            m.d.comb += [self._pop.eq(1), self.checked.eq(1)]
            self._finish_slice(m)
