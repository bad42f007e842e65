# SPDX-License-Identifier: Apache-2.0
"""Decoder of one port: beats to tile writes and header writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import Codec
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.queue import Queue
from rtl_gen.decoder.beat_front import FRONT_JOB, BeatFront
from rtl_gen.decoder.block_issue import BlockIssue
from rtl_gen.decoder.byte_window import ByteWindow
from rtl_gen.decoder.checksum import StreamChecksum
from rtl_gen.decoder.dictionary import DictionaryUnpacker
from rtl_gen.decoder.reader import READER_JOB, StreamReader
from rtl_gen.decoder.rice import RiceUnpacker
from rtl_gen.decoder.tile_writer import WRITER_JOB, TileWriter
from rtl_gen.decoder.unpacker import Unpacker
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.tile import (
    DECODE_JOB,
    PART,
    FillSignature,
    parameter_write_layout,
    tile_write_layout,
)

__all__ = ["UNPACKERS", "Decoder"]

UNPACKERS: Mapping[Codec, type[Unpacker]] = {
    Codec.DICTIONARY: DictionaryUnpacker,
    Codec.RICE: RiceUnpacker,
}
"""Unpackers of the codecs that have blocks, which are all but RAW; a decoder has those of its
configuration's codecs.
"""

_JOBS = 8
_PARTS = 32
_RESERVED = 28
"""The queue of parts refuses nothing up to here, however its storage and its output register share
them.
"""


@dataclass(frozen=True)
class _BlockWay:
    """Where blocks go, nothing at all without a codec that has blocks.

    blocks, unpackers: the parts. bad: the stream is wrong.
    """

    blocks: BlockIssue | None = None
    unpackers: list[Unpacker] = field(default_factory=list)
    bad: Value = field(default_factory=lambda: Const(0, 1))


def _latencies() -> dict[Codec, int]:
    behind = Queue.latency + TileWriter.latency
    blocks = BlockIssue.start_latency + BlockIssue.latency + behind
    return {Codec.RAW: 1 + behind} | {
        codec: blocks + unit.latency for codec, unit in UNPACKERS.items()
    }


class Decoder(wiring.Component):
    """Turns a port's WEIGHTS and KV beats into writes, as the decode jobs say. Formats:
    meadow.spec.streams.

    BeatFront counts the beats of each job, StreamChecksum checks those of a weight stream,
    ByteWindow aligns bytes, StreamReader parses what is in whole beats, BlockIssue cuts packed
    payload into blocks of 32 weights, the codec's unpacker (UNPACKERS) unpacks them, TileWriter
    places them. Of a codec that the configuration does not have, nothing is there; without any,
    BlockIssue is not either.

    Members
    -------
    i_job: In stream of DECODE_JOB.
    i_beat: In stream of 128 bits, the beats of the jobs in order.
    o_tile: Out(FillSignature(tile_write_layout)), see TileWriter.
    o_parameter: Out(FillSignature(parameter_write_layout)), slice headers, see StreamReader.
    o_tile_command, o_parameter_command: Out(INDEX_BITS), with a write, index of its command.
    error: Out pulse, registers.ErrorCode.STREAM: a bad preamble (see PreambleCheck), an index not
        below `entries`, 8 codewords of a sub-stream that do not end within 32 bits, a stream that
        needs more or fewer beats than its job has, or a CRC-32 mismatch. There is one pulse; from
        then on beats are dropped and no job is taken until reset. Data written meanwhile is not
        taken back.
    error_command: Out, with `error`, index of the command whose stream is wrong.
    busy: Out, a job is queued or not completely written; stays 1 after an error.

    Latency: `latencies[codec]` cycles from a raw or K/V beat to its write, or, of another codec,
    from the beat that completes the first block of a slice. Throughput: a beat or a
    block of 32 weights per cycle, whatever is less, and what TileWriter writes. Back-pressure:
    i_beat waits for credits once the queue of parts is full, and at the end of a weight stream
    until that is read.
    """

    latencies = _latencies()

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(DECODE_JOB)),
                "i_beat": In(stream.Signature(8 * BEAT_BYTES)),
                "o_tile": Out(FillSignature(tile_write_layout(config))),
                "o_parameter": Out(FillSignature(parameter_write_layout(config))),
                "o_tile_command": Out(INDEX_BITS),
                "o_parameter_command": Out(INDEX_BITS),
                "error": Out(1),
                "error_command": Out(INDEX_BITS),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.front = front = BeatFront()
        m.submodules.checksum = checksum = StreamChecksum()
        m.submodules.window = window = ByteWindow()
        m.submodules.reader = reader = StreamReader(config=config)
        m.submodules.parts = parts = Queue(shape=PART, depth=_PARTS)
        m.submodules.writer = writer = TileWriter(config=config)
        wiring.connect(m, wiring.flipped(self.i_beat), front.i_beat)
        wiring.connect(m, front.o_beat, window.i_beat)
        wiring.connect(m, parts.o, writer.i_part)
        wiring.connect(m, writer.o_tile, wiring.flipped(self.o_tile))
        wiring.connect(m, reader.o_parameter, wiring.flipped(self.o_parameter))
        levels = self._jobs(m, front, reader, writer)
        failed = Signal()
        wrong = Signal()
        broken = Signal()
        way = self._blocks(m, front, window, reader, failed)
        m.d.comb += [
            broken.eq(reader.error | way.bad),
            wrong.eq(broken | checksum.mismatch),
            front.drop.eq(failed),
            reader.stop.eq(failed),
        ]
        m.d.sync += [failed.eq(failed | wrong), self.error.eq(wrong & ~failed)]
        # Unpackers are idle before the reader begins the next stream, but a checksum has its own
        # pace: the reader may still be at the stream before, or already at the one behind.
        by_checksum = Signal()
        summed = delayed(m, front.command, StreamChecksum.latency + 1, "summed_command")
        m.d.sync += by_checksum.eq(~broken)
        m.d.comb += self.error_command.eq(Mux(by_checksum, summed, reader.command))

        m.d.comb += [
            checksum.valid.eq(front.checked),
            checksum.data.eq(front.o_beat.payload),
            checksum.first.eq(front.checked_first),
            checksum.last.eq(front.checked_last),
            front.release.eq(reader.release),
            reader.exhausted.eq(front.exhausted),
            # One of them is 0.
            window.take.eq(reader.take if way.blocks is None else reader.take | way.blocks.take),
            reader.head.eq(window.head),
            reader.available.eq(window.available),
            reader.offset.eq(window.offset),
        ]
        reserved = self._parts(m, reader, way, parts)
        m.d.comb += [
            self.o_tile_command.eq(writer.o_tile_command),
            self.o_parameter_command.eq(reader.command),
            self.busy.eq(
                failed | reader.busy | (reserved != 0) | self.o_tile.done | Cat(levels).any()
            ),
        ]
        return m

    def _jobs(self, m: Module, front: BeatFront, reader: StreamReader, writer: TileWriter):
        """A queue of jobs for each unit that follows them; levels of the queues."""
        m.submodules.front_jobs = front_jobs = Queue(shape=FRONT_JOB, depth=_JOBS)
        m.submodules.reader_jobs = reader_jobs = Queue(shape=READER_JOB, depth=_JOBS)
        m.submodules.writer_jobs = writer_jobs = Queue(shape=WRITER_JOB, depth=_JOBS)
        queues = (front_jobs, reader_jobs, writer_jobs)
        job = self.i_job
        ready = Cat(queue.i.ready for queue in queues).all()
        m.d.comb += job.ready.eq(ready)
        for queue in queues:
            part = queue.i.payload
            m.d.comb += queue.i.valid.eq(job.valid & ready)
            m.d.comb += [part[name].eq(job.payload[name]) for name in part.shape().members]
        wiring.connect(m, front_jobs.o, front.i_job)
        wiring.connect(m, reader_jobs.o, reader.i_job)
        wiring.connect(m, writer_jobs.o, writer.i_job)
        return [queue.level for queue in queues]

    def _blocks(
        self, m: Module, front: BeatFront, window: ByteWindow, reader: StreamReader, stop: Value
    ) -> _BlockWay:
        """Blocks from the window through the unpackers, if there is a codec that has blocks."""
        if not any(self.config.has_codec(codec) for codec in UNPACKERS):
            return _BlockWay()
        m.submodules.blocks = blocks = BlockIssue(config=self.config)
        unpackers = self._unpackers(m, reader, blocks)
        rice = self.config.has_codec(Codec.RICE)
        others = len(unpackers) > rice
        m.d.comb += [
            blocks.stop.eq(stop),
            blocks.exhausted.eq(front.exhausted),
            blocks.head.eq(window.head),
            blocks.available.eq(window.available),
            blocks.arrives.eq(window.arrives),
            blocks.word.eq(window.word),
            blocks.data.eq(window.data),
            blocks.start.eq(reader.start),
            blocks.blocks.eq(reader.blocks),
            # Constant where no stream changes it, so that what the other codec needs goes.
            blocks.rice.eq(reader.rice if rice and others else rice),
            blocks.chunk2.eq(reader.chunk2 if others else 0),
            blocks.fixed.eq(reader.fixed if others else 0),
            blocks.widths.eq(reader.widths),
            blocks.need.eq(reduce(or_, (unit.need for unit in unpackers))),
            reader.blocks_done.eq(blocks.done),
            window.block.eq(blocks.issue.valid),
            window.block_bytes.eq(blocks.block_bytes),
        ]
        bad = Cat(unit.bad for unit in unpackers).any()
        return _BlockWay(blocks=blocks, unpackers=unpackers, bad=blocks.underrun | bad)

    def _unpackers(self, m: Module, reader: StreamReader, blocks: BlockIssue) -> list[Unpacker]:
        """One for each codec that has blocks; each gets those of its codec only."""
        unpackers: list[Unpacker] = []
        for codec, unit in UNPACKERS.items():
            if not self.config.has_codec(codec):
                continue
            m.submodules[codec.name.lower()] = unpacker = unit(config=self.config)
            chosen = reader.codec == codec.value
            m.d.comb += [
                unpacker.chunk2.eq(reader.chunk2),
                unpacker.entries.eq(reader.entries),
                unpacker.issue.payload.eq(blocks.issue.payload),
                unpacker.issue.valid.eq(blocks.issue.valid & chosen),
                unpacker.block.payload.eq(blocks.block.payload),
                unpacker.block.valid.eq(blocks.block.valid & chosen),
            ]
            wiring.connect(m, reader.table, unpacker.table)
            wiring.connect(m, reader.prime, unpacker.prime)
            unpackers.append(unpacker)
        return unpackers

    def _parts(self, m: Module, reader: StreamReader, way: _BlockWay, parts: Queue) -> Signal:
        """Places in the queue of parts are reserved when a block is issued, because nothing behind
        it can wait.
        """
        reserved = Signal(range(_PARTS))
        in_flight = Signal(range(_PARTS))
        unpacked = Signal()
        sent = Signal()
        elements: Value = reader.part.payload
        unpackers = way.unpackers
        issued = Signal()
        if way.blocks is not None:
            m.d.comb += [issued.eq(way.blocks.issue.valid), way.blocks.credit.eq(reader.credit)]
        for unpacker in unpackers:
            elements = Mux(unpacker.part.valid, unpacker.part.payload, elements)
        m.d.comb += [
            sent.eq(reader.part.valid | issued),
            unpacked.eq(Cat(unpacker.part.valid for unpacker in unpackers).any()),
            parts.i.valid.eq(unpacked | reader.part.valid),
            parts.i.payload.wide.eq(unpacked),
            parts.i.payload.data.eq(elements),
            reader.credit.eq(reserved < _RESERVED),
            reader.idle.eq(in_flight == 0),
        ]
        m.d.sync += [
            reserved.eq(reserved + sent - (parts.o.valid & parts.o.ready)),
            in_flight.eq(in_flight + issued - unpacked),
        ]
        return reserved
