# SPDX-License-Identifier: Apache-2.0
"""Decoder of one port: beats to tile writes and header writes."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.decoder.bundles import FILL_JOB, parameter_write_layout, tile_write_layout
from rtl_gen.decoder.checksum import StreamChecksum
from rtl_gen.decoder.dictionary import PacketUnpacker
from rtl_gen.decoder.reader import StreamReader
from rtl_gen.decoder.tile_writer import TileWriter
from rtl_gen.stream.queue import Queue

__all__ = ["Decoder"]

_JOBS = 8
_PARTS = 32


class Decoder(wiring.Component):
    """Turns a port's WEIGHTS and KV beats into writes, as the fill jobs say. Formats: meadow.spec.streams.

    Tile elements come tile by tile, local row by row, column by column. StreamReader parses, PacketUnpacker looks up
    dictionary indices, TileWriter places parts of 16 elements, StreamChecksum checks all beats after a preamble.

    Parameter: config. Members
    -------
    i_fill: In stream of FILL_JOB. i_beat: In stream of 128 bits, the beats of the jobs in order.
    o_tile: Out {valid, payload: tile_write_layout}. o_tile_done: Out pulse, this port's part of a tile is complete
        (with its last write). i_tile_free: In pulse, adds a credit to the two there are at first; a tile takes one
        with its first write, a cache tile without rows with its done.
    o_parameter, o_parameter_done, i_parameter_free: the same for slice headers, beat by beat.
    error: Out pulse, registers.ErrorCode.STREAM: bad preamble (see StreamReader), an index not below `entries`, or a
        CRC-32 mismatch at the end of a stream. Data written meanwhile is not taken back.
    busy: Out, a job is queued or not completely written.

    Latency: `raw_latency` cycles from a raw or K/V beat to its write, `dictionary_latency` from the beat that completes
    a packet of 16 weights. Throughput: 16 weights per cycle, raw or of chunk 2; 8 of chunk 1. Back-pressure: i_beat waits
    for credits once 32 parts are buffered.
    """

    raw_latency = 4
    dictionary_latency = 11

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_fill": In(stream.Signature(FILL_JOB)),
                "i_beat": In(stream.Signature(8 * BEAT_BYTES)),
                "o_tile": Out(
                    data.StructLayout({"valid": 1, "payload": tile_write_layout(config)})
                ),
                "o_tile_done": Out(1),
                "i_tile_free": In(1),
                "o_parameter": Out(
                    data.StructLayout({"valid": 1, "payload": parameter_write_layout(config)})
                ),
                "o_parameter_done": Out(1),
                "i_parameter_free": In(1),
                "error": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.reader = reader = StreamReader(config=config)
        m.submodules.unpacker = unpacker = PacketUnpacker(config=config)
        m.submodules.writer = writer = TileWriter(config=config)
        m.submodules.checksum = checksum = StreamChecksum()
        m.submodules.reader_jobs = reader_jobs = Queue(shape=FILL_JOB, depth=_JOBS)
        m.submodules.writer_jobs = writer_jobs = Queue(shape=FILL_JOB, depth=_JOBS)
        m.submodules.parts = parts = Queue(shape=8 * BEAT_BYTES, depth=_PARTS)
        wiring.connect(m, wiring.flipped(self.i_beat), reader.i_beat)
        wiring.connect(m, reader_jobs.o, reader.i_job)
        wiring.connect(m, writer_jobs.o, writer.i_job)
        wiring.connect(m, parts.o, writer.i_part)
        m.d.comb += [
            reader_jobs.i.payload.eq(self.i_fill.payload),
            writer_jobs.i.payload.eq(self.i_fill.payload),
            reader_jobs.i.valid.eq(self.i_fill.valid & writer_jobs.i.ready),
            writer_jobs.i.valid.eq(self.i_fill.valid & reader_jobs.i.ready),
            self.i_fill.ready.eq(reader_jobs.i.ready & writer_jobs.i.ready),
        ]

        # Space is spent in halves of a part when a packet starts, because nothing behind it can wait.
        spent = Signal(range(2 * _PARTS + 1))
        taken = Signal(2)
        m.d.comb += taken.eq(
            Mux(reader.part.valid, 2, 0) | Mux(reader.packet.valid, Mux(reader.chunk2, 2, 1), 0)
        )
        m.d.sync += spent.eq(spent + taken - Mux(parts.o.valid & parts.o.ready, 2, 0))
        m.d.comb += [
            # A packet is counted one cycle late, so one more than this part may be on its way.
            reader.room.eq(spent <= 2 * _PARTS - 4),
            reader.unpacking.eq(unpacker.busy),
            unpacker.packet.eq(reader.packet),
            unpacker.table.eq(reader.table),
            unpacker.chunk2.eq(reader.chunk2),
            unpacker.entries.eq(reader.entries),
            parts.i.valid.eq(reader.part.valid | unpacker.part.valid),
            parts.i.payload.eq(Mux(unpacker.part.valid, unpacker.part.data, reader.part.data)),
            checksum.valid.eq(reader.checked),
            checksum.data.eq(reader.checked_data),
            checksum.first.eq(reader.checked_first),
            checksum.last.eq(reader.checked_last),
            checksum.expected.eq(reader.checksum),
        ]

        m.d.comb += [
            self.o_tile.eq(writer.o_tile),
            self.o_tile_done.eq(writer.o_tile_done),
            writer.i_tile_free.eq(self.i_tile_free),
            self.o_parameter.eq(reader.o_parameter),
            self.o_parameter_done.eq(reader.o_parameter_done),
            reader.i_parameter_free.eq(self.i_parameter_free),
            self.busy.eq(
                reader.busy
                | (reader_jobs.level != 0)
                | (writer_jobs.level != 0)
                | (spent != 0)
                | self.o_tile_done
            ),
        ]
        m.d.sync += self.error.eq(reader.bad_preamble | unpacker.bad_index | checksum.mismatch)
        return m
