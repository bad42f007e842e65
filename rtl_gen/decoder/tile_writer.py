# SPDX-License-Identifier: Apache-2.0
"""Places decoded elements in the tile buffer."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import BLOCK_WEIGHTS
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.tile import DECODE_JOB, PART, SLOTS, FillSignature, tile_write_layout

__all__ = ["WRITER_JOB", "TileWriter"]

_BEAT_BITS = 8 * BEAT_BYTES

WRITER_JOB = data.StructLayout(
    {name: member.shape for name, member in DECODE_JOB if name != "beats"}
)
"""What the tile writer needs of a DECODE_JOB."""


class TileWriter(wiring.Component):
    """Addresses the parts of a job: weights fill whole tiles row by row, cache tiles `rows` rows
    from column_beats on. All that is multiplied comes through here: an element of -128, which is in
    no format but may be in a stream or a cache, becomes -127.

    Members
    -------
    i_job: In stream of WRITER_JOB.
    i_part: In stream of PART, the elements of the jobs in order. Wide parts are for weights only
        and follow one another from the beginning of a tile.
    o_tile: Out(FillSignature(tile_write_layout)). A wide part is one write of mask 0b11 if `whole`
        (decoder_elements and width are at least BLOCK_WEIGHTS), else two of mask 1; others are one
        of mask 1. A tile takes a slot with its first write, a cache tile without rows with its
        `done`, which comes alone.
    o_tile_command: Out(INDEX_BITS), with a write, index of its command.

    Latency: `latency` cycle from a part to its first write. Throughput: one part per cycle across
    tiles and jobs, a wide one that is split every second cycle. Back-pressure: parts wait for a job
    and for a free slot.
    """

    latency = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.whole = min(config.decoder_elements, config.width) >= BLOCK_WEIGHTS
        super().__init__(
            {
                "i_job": In(stream.Signature(WRITER_JOB)),
                "i_part": In(stream.Signature(PART)),
                "o_tile": Out(FillSignature(tile_write_layout(config))),
                "o_tile_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        job, part, tile_slot = self.i_job.payload, self.i_part, self.o_tile
        write = payload_register(m, tile_slot.write.payload, "write")
        command = payload_register(m, self.o_tile_command, "command")
        credits = Signal(range(SLOTS + 1), init=SLOTS)
        slot = Signal()
        active = Signal()
        row = Signal(range(config.port_rows))
        column = Signal(range(max(2, config.word_beats)))
        tile = Signal(12)
        piece = Signal(16)
        empty = Signal()
        allowed = Signal()
        taken = Signal()
        finished = Signal()
        last_row = Signal()
        last_column = Signal()
        last_tile = Signal()
        last_slice = Signal()
        beats, more, elements = self._portion(m, taken)
        m.d.comb += [
            empty.eq(job.cache & (job.rows == 0)),
            allowed.eq(self.i_job.valid & (active | (credits != 0))),
            part.ready.eq(allowed & ~empty & ~more),
            taken.eq(part.valid & allowed & ~empty),
            last_row.eq(row + 1 == Mux(job.cache, job.rows, config.port_rows)),
            last_column.eq(column + beats == Mux(job.cache, job.segment_beats, config.word_beats)),
            last_tile.eq(tile + 1 == job.tiles),
            last_slice.eq(piece + 1 == job.slices),
            finished.eq((taken & last_row & last_column) | (allowed & empty)),
            self.i_job.ready.eq(finished & (job.cache | (last_tile & last_slice))),
        ]
        m.d.sync += [
            credits.eq(credits + tile_slot.free - ((taken | (allowed & empty)) & ~active)),
            tile_slot.write.valid.eq(taken),
            command.eq(job.command),
            write.slot.eq(slot),
            write.row.eq(row),
            write.column_beats.eq(column + Mux(job.cache, job.column_beats, 0)),
            write.mask.eq(Mux(beats == 2, 0b11, 0b01)),
            write.data.eq(_within_limit(elements)),
            tile_slot.done.eq(finished),
        ]
        with m.If(taken):
            m.d.sync += [active.eq(1), column.eq(column + beats)]
            with m.If(last_column):
                m.d.sync += [column.eq(0), row.eq(row + 1)]
        with m.If(finished):
            m.d.sync += [active.eq(0), slot.eq(~slot), row.eq(0)]
            with m.If(~job.cache):
                m.d.sync += tile.eq(tile + 1)
                with m.If(last_tile):
                    m.d.sync += [tile.eq(0), piece.eq(piece + 1)]
                    with m.If(last_slice):
                        m.d.sync += piece.eq(0)
        return m

    def _portion(self, m: Module, taken: Signal) -> tuple[Value, Value, Value]:
        """Beats of the next write, whether its part has another one behind it, and its elements."""
        part = self.i_part.payload
        if self.whole:
            return Mux(part.wide, 2, 1), Const(0), part.data
        second = Signal()
        more = part.wide & ~second
        with m.If(taken):
            m.d.sync += second.eq(more)
        return Const(1), more, Mux(second, part.data[_BEAT_BITS:], part.data[:_BEAT_BITS])


def _within_limit(elements: Value) -> Value:
    """Signed bytes with -LIMIT_INT8 in place of -128: two products fit one multiplier only so."""
    bytes_ = [elements.word_select(index, 8) for index in range(len(elements) // 8)]
    return Cat(byte | (byte == 0x80) for byte in bytes_)
