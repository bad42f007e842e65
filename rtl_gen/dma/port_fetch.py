# SPDX-License-Identifier: Apache-2.0
"""Fetch of one port: its share of LOAD, MATMUL and ATTEND commands as read descriptors and decode
jobs.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import AttendPart, Opcode, TrafficClass
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.queue import Queue
from rtl_gen.dma.load_share import LOAD_SHARE
from rtl_gen.dma.port_rows import times
from rtl_gen.interfaces.command import (
    COMMAND_BITS,
    attends_part,
    command_index,
    command_layout,
    step_layout,
)
from rtl_gen.interfaces.dma import LENGTH_BITS, OFFSET_BITS, READ_DESCRIPTOR, Route
from rtl_gen.interfaces.tile import DECODE_JOB

__all__ = ["PortFetch"]

_DESCRIPTORS = 8
_JOBS = 32
_PLACE_BITS = 35
"""Of a place in the cache before it is checked, in beats: two of 32 bits, 63 blocks 2^28 apart and
a row of keys.
"""
_KEY_BITS = 21
"""Of a count of keys."""


class PortFetch(wiring.Component):
    """Enumerates one command after the other for port p of P.

    MATMUL: the descriptor (offset_p, beats_p) and one job (slices, tiles, beats_p).
    LOAD: the port's rows (see LoadShare) as one descriptor, none without rows; no job.
    ATTEND: per sequence of L keys, tiles K0 K1 V0 K2 V1 ... V_last of W keys, with part SCORES only
        K0 K1 ..., with VALUES only V0 V1 ..., head-dim blocks j of each in order: keys b*W + p*W/P
        .. of this port below L, one descriptor (none without keys) at kv_base + (key or value
        offset) + j*block_stride + key*segment_beats, and always one job.
        L = position + tokens, or position + first + rows with rows > 0.

    `command` of both is the index of the command. What a descriptor cannot name, an offset of 2^32
    and more or 2^28 beats and more, is one of 0 beats, an error (see BurstSplitter).

    Parameters
    ----------
    config: ports P, width W, the sequence table.
    port: number p of this port.

    Members
    -------
    start: In, pulse, `command` is valid.
    command: In(COMMAND_BITS), stable from `start` on while `busy`.
    step: In(step_layout).
    share: In(LOAD_SHARE), the port's part of `command` if that is a LOAD.
    share_valid: In(1), `share` is stable; 0 in the cycle behind `start`.
    o_read: Out stream of READ_DESCRIPTOR, with a queue that `busy` does not cover.
    o_decode: Out stream of DECODE_JOB, likewise.
    busy: Out, from the cycle after `start` until the last descriptor and job are in their queues.

    Throughput: an ATTEND tile of one block every TILE_CYCLES, 2 cycles per block of larger tiles,
    SEQUENCE_CYCLES more per sequence. The queue of 8 descriptors covers both, and the start of the
    next command, when a tile has at least TILE_CYCLES beats per port. Commands of other opcodes do
    nothing.
    """

    TILE_CYCLES = 4
    SEQUENCE_CYCLES = 3

    def __init__(self, *, config: AcceleratorConfig, port: int) -> None:
        self.config = config
        self.port = port
        super().__init__(
            {
                "start": In(1),
                "command": In(COMMAND_BITS),
                "step": In(step_layout(config)),
                "share": In(LOAD_SHARE),
                "share_valid": In(1),
                "o_read": Out(stream.Signature(READ_DESCRIPTOR)),
                "o_decode": Out(stream.Signature(DECODE_JOB)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reads = reads = Queue(shape=READ_DESCRIPTOR, depth=_DESCRIPTORS)
        m.submodules.fills = fills = Queue(shape=DECODE_JOB, depth=_JOBS)
        wiring.connect(m, reads.o, wiring.flipped(self.o_read))
        wiring.connect(m, fills.o, wiring.flipped(self.o_decode))
        self._descriptor = Signal(READ_DESCRIPTOR, reset_less=True)
        self._job = Signal(DECODE_JOB, reset_less=True)
        self._read_pending = Signal()
        self._fill_pending = Signal()
        self._free = Signal()
        m.d.comb += [
            reads.i.payload.eq(self._descriptor),
            reads.i.payload.command.eq(command_index(self.command)),
            reads.i.valid.eq(self._read_pending),
            fills.i.payload.eq(self._job),
            fills.i.payload.command.eq(command_index(self.command)),
            fills.i.valid.eq(self._fill_pending),
            self._free.eq(~self._read_pending & ~self._fill_pending),
        ]
        with m.If(reads.i.ready):
            m.d.sync += self._read_pending.eq(0)
        with m.If(fills.i.ready):
            m.d.sync += self._fill_pending.eq(0)

        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start), m.Switch(self.command[:8]):
                for opcode in (Opcode.MATMUL, Opcode.LOAD, Opcode.ATTEND):
                    with m.Case(int(opcode)):
                        m.next = opcode.name
            self._matmul(m)
            self._load(m)
            self._attend(m)
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE") | ~self._free)
        return m

    def _view(self, opcode: Opcode):
        layout = command_layout(opcode)
        return layout(self.command[: layout.size])

    def _matmul(self, m: Module) -> None:
        command = self._view(Opcode.MATMUL)
        with m.State("MATMUL"), m.If(self._free):
            m.d.sync += [
                self._descriptor.offset.eq(command[f"offset{self.port}"]),
                self._descriptor.beats.eq(command[f"beats{self.port}"]),
                self._descriptor.route.eq(Route.WEIGHTS),
                self._descriptor.traffic.eq(int(TrafficClass.WEIGHTS)),
                self._job.eq(0),
                self._job.slices.eq(command.slices),
                self._job.tiles.eq(command.tiles),
                self._job.beats.eq(command[f"beats{self.port}"]),
                self._read_pending.eq(1),
                self._fill_pending.eq(1),
            ]
            m.next = "IDLE"

    def _load(self, m: Module) -> None:
        command, share = self._view(Opcode.LOAD), self.share
        far = Cat(share.offset[OFFSET_BITS:], share.beats[LENGTH_BITS:]).any()
        with m.State("LOAD"), m.If(self._free & self.share_valid):
            m.d.sync += [
                self._descriptor.offset.eq(share.offset),
                self._descriptor.beats.eq(Mux(far, 0, share.beats)),
                self._descriptor.route.eq(Route.LOAD),
                self._descriptor.traffic.eq(command.traffic),
                self._read_pending.eq(share.beats.any()),
            ]
            m.next = "IDLE"

    def _attend(self, m: Module) -> None:
        config = self.config
        command = self._view(Opcode.ATTEND)
        width, port_rows = config.width, config.port_rows
        sequence = Signal(8, reset_less=True)
        entry = Signal.like(self.step.entries[0], reset_less=True)
        # Tokens after those in the cache whose keys are read.
        new = Signal(len(entry.tokens) + 1, reset_less=True)
        key_address = Signal(_PLACE_BITS, reset_less=True)
        value_address = Signal(_PLACE_BITS, reset_less=True)
        address = Signal(_PLACE_BITS, reset_less=True)
        # Keys from the block on.
        key_total = Signal(_KEY_BITS, reset_less=True)
        value_total = Signal(_KEY_BITS, reset_less=True)
        total = Signal(_KEY_BITS)
        value = Signal(reset_less=True)
        first = Signal(reset_less=True)
        block = Signal.like(command.blocks, reset_less=True)
        keys = Signal(range(port_rows + 1), reset_less=True)
        beats = Signal(range(port_rows * config.word_beats + 1), reset_less=True)
        start = Signal(
            len(command.segment_beats) + 2 + (port_rows - 1).bit_length(), reset_less=True
        )
        stride = command.segment_beats * width
        own = self.port * port_rows
        scores = attends_part(config, command, AttendPart.SCORES)
        values = attends_part(config, command, AttendPart.VALUES)
        m.d.comb += total.eq(Mux(value, value_total, key_total))
        m.d.sync += start.eq(times(command.segment_beats, self.port) * port_rows)

        with m.State("ATTEND"):
            m.d.sync += sequence.eq(0)
            m.next = "ENTRY"
        with m.State("ENTRY"):
            m.d.sync += entry.eq(self.step.entries[sequence])
            m.next = "NEW"
        with m.State("NEW"):
            m.d.sync += [
                new.eq(Mux(command.rows.any(), command.first + command.rows, entry.tokens)),
                key_address.eq(entry.kv_base + command.key_offset),
                value_address.eq(entry.kv_base + command.value_offset),
            ]
            m.next = "SHIFT"
        with m.State("SHIFT"):
            m.d.sync += [
                key_total.eq(entry.position + new),
                value_total.eq(entry.position + new),
                key_address.eq(key_address + start),
                value_address.eq(value_address + start),
                value.eq(values),
                first.eq(1),
            ]
            m.next = "TILE"
        with m.State("TILE"):
            m.d.sync += [address.eq(Mux(value, value_address, key_address)), block.eq(0)]
            with m.If(total <= own):
                m.d.sync += keys.eq(0)
            with m.Elif(total >= own + port_rows):
                m.d.sync += keys.eq(port_rows)
            with m.Else():
                m.d.sync += keys.eq(total - own)
            m.next = "COUNT"
        with m.State("COUNT"):
            m.d.sync += beats.eq(keys * command.segment_beats)
            m.next = "EMIT"
        with m.State("EMIT"), m.If(self._free):
            m.d.sync += [
                self._descriptor.offset.eq(address),
                self._descriptor.beats.eq(Mux(address[OFFSET_BITS:].any(), 0, beats)),
                self._descriptor.route.eq(Route.KV),
                self._descriptor.traffic.eq(int(TrafficClass.KV_READ)),
                self._job.eq(0),
                self._job.cache.eq(1),
                self._job.rows.eq(keys),
                self._job.segment_beats.eq(command.segment_beats),
                self._job.column_beats.eq(command.column_beats),
                self._job.beats.eq(beats),
                self._read_pending.eq(keys != 0),
                self._fill_pending.eq(1),
                address.eq(address + command.block_stride),
                block.eq(block + 1),
            ]
            with m.If(block + 1 >= command.blocks):
                m.next = "ADVANCE"
        with m.State("ADVANCE"):
            last = Signal()
            m.d.comb += last.eq((value | scores) & (total <= width))
            m.next = "TILE"
            with m.If(value):
                m.d.sync += [
                    value_address.eq(value_address + stride),
                    value_total.eq(value_total - width),
                    value.eq(values | (key_total == 0)),
                ]
            with m.Else():
                m.d.sync += [
                    key_address.eq(key_address + stride),
                    key_total.eq(Mux(key_total > width, key_total - width, 0)),
                    value.eq(~scores & (~first | (key_total <= width))),
                    first.eq(0),
                ]
            with m.If(last):
                m.d.sync += sequence.eq(sequence + 1)
                m.next = "ENTRY"
                with m.If(sequence + 1 >= self.step.sequences):
                    m.next = "IDLE"
