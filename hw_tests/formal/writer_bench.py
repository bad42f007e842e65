# SPDX-License-Identifier: Apache-2.0
"""What is proven of TileWriter: each part is written once, in its place, and a tile is done when
all of it is written.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Mux, Signal

from hw_tests.formal.axi_rules import stays
from hw_tests.formal.bench import Bench
from rtl_gen.interfaces.tile import SLOTS

__all__ = ["writer_bench"]


def writer_bench(writer: Any) -> Bench:
    """Writes of a TileWriter against its jobs and parts; all of a write is from the cycle before
    it.

    Assumed: jobs and parts wait unchanged, a job fits its tile, wide parts are of weights and at
    even places, and a tile is given back once.
    """
    config = writer.config
    bench = Bench("writer_whole" if writer.whole else "writer_split")
    bench.add(writer)
    m, job, part = bench.m, writer.i_job.payload, writer.i_part.payload
    write, done = writer.o_tile.write.payload, writer.o_tile.done
    for source in (writer.i_job, writer.i_part):
        bench.assume(stays(bench, source.valid, source.ready, source.payload))
    bench.assume((job.tiles != 0) & (job.slices != 0))
    bench.assume(job.rows <= config.port_rows)
    bench.assume(job.segment_beats != 0)
    bench.assume(job.column_beats + job.segment_beats <= config.word_beats)

    written = writer.o_tile.write.valid
    beats = Mux(write.mask[1], 2, 1) if writer.whole else 1
    cache, tiles, slices = (bench.past(value) for value in (job.cache, job.tiles, job.slices))
    rows = Mux(cache, bench.past(job.rows), config.port_rows)
    columns = Mux(cache, bench.past(job.segment_beats), config.word_beats)
    first_column = Mux(cache, bench.past(job.column_beats), 0)
    part_taken = bench.past(writer.i_part.valid & writer.i_part.ready)
    job_taken = bench.past(writer.i_job.valid & writer.i_job.ready)
    empty = bench.past(writer.i_job.valid) & (rows == 0)

    # Copies of the place in the tile, of the tile in the job and of the half of a part, from the
    # writes alone.
    slot, row, column = Signal(), Signal(8), Signal(4)
    tile, piece, second = Signal.like(job.tiles), Signal.like(job.slices), Signal()
    row_ends = column + beats == columns
    tile_ends = written & row_ends & (row + 1 == rows)
    with m.If(written):
        m.d.sync += [column.eq(column + beats), second.eq(~part_taken)]
        with m.If(row_ends):
            m.d.sync += [column.eq(0), row.eq(row + 1)]
    with m.If(done):
        m.d.sync += [slot.eq(~slot), row.eq(0), tile.eq(tile + 1)]
        with m.If(tile + 1 == tiles):
            m.d.sync += [tile.eq(0), piece.eq(piece + 1)]
    with m.If(job_taken):
        m.d.sync += [tile.eq(0), piece.eq(0)]
    odd = Signal()  # parts of a beat that the tile has got; it has an even number of beats
    with m.If(writer.i_part.valid & writer.i_part.ready & ~part.wide):
        m.d.sync += odd.eq(~odd)
    with m.If(writer.i_job.valid & writer.i_job.ready):
        m.d.sync += odd.eq(0)
    bench.assume(~writer.i_part.valid | ~part.wide | (~job.cache & ~odd))

    wide, data = bench.past(part.wide), bench.past(part.data)
    split = Const(0) if writer.whole else wide & ~second
    bench.check("once", ~part_taken | written)
    bench.check("invented", ~written | bench.past(writer.i_part.valid))
    bench.check("lost", ~written | (part_taken == ~split))
    bench.check("mask", ~written | (write.mask == (Mux(wide, 0b11, 0b01) if writer.whole else 1)))
    element = Mux(second, data[128:136], data[:8])
    within = Mux(element == 0x80, 0x81, element)
    bench.check("data", ~written | (write.data[:8] == within))
    bench.check("slot", ~written | (write.slot == slot))
    bench.check("row", ~written | ((write.row == row) & (row < rows)))
    bench.check("column", ~written | (write.column_beats == column + first_column))
    bench.check("inside", ~written | (column + beats <= columns))
    bench.check("done", done == (tile_ends | (done & empty & ~written)))
    job_ends = cache | ((tile + 1 == tiles) & (piece + 1 == slices))
    bench.check("job", job_taken == (done & job_ends))

    begun = (written & (row == 0) & (column == 0) & ~second) | (done & ~written)
    free = writer.o_tile.free
    filled, finished = Signal(3), Signal(3)  # tiles begun and finished, and not given back
    m.d.sync += [
        filled.eq(filled + begun - bench.past(free)),
        finished.eq(finished + done - free),
    ]
    bench.assume(~free | (finished != 0))
    bench.check("credit", filled + begun <= SLOTS + bench.past(free))
    bench.cover("second_tile", done & written & slot)
    bench.cover("narrow", done & written & ~wide & ~cache)
    return bench
