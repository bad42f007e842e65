# SPDX-License-Identifier: Apache-2.0
"""Write descriptors of one port for a STORE."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.dma.store_share import SHARE
from rtl_gen.interfaces.command import command_index, command_layout, step_layout
from rtl_gen.interfaces.dma import LENGTH_BITS, OFFSET_BITS, WRITE_DESCRIPTOR
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["StoreDescriptors"]

_PLACE_BITS = 42
"""Of a place in DRAM before it is checked, in beats: the offset, a sequence's base, and the most
segments at the widest stride.
"""
_TOKEN_BITS = 22
"""Of a token's place in a sequence, which may be below 0 before it is added."""


class StoreDescriptors(wiring.Component):
    """One descriptor per stretch of beats that is contiguous in DRAM for this port.

    For every segment j of the port's share, for every span (sequence of a cache store, else all
    rows): the rows r of the span and of the share, rows*segment_beats beats, if there are any.
    Offset of (j, r): offset + j*segment_stride + base(r), base(r) = r*segment_beats or, with
    `cache` and sequence s of row r, kv_base[s] + (position[s] + r - first_row[s])*segment_beats.

    Parameters
    ----------
    config: ports P, the sequence table.

    Members
    -------
    step, command, share: In, stable from `start` until idle.
    start: In(1), pulse while idle.
    o: Out stream of WRITE_DESCRIPTOR.
    idle: Out(1), all of them have been taken.

    Latency: LATENCY cycles from `start` to o.valid. Throughput: one descriptor or span without rows
    per cycle; a full output holds all stages. What a descriptor cannot name, an offset of 2^32 and
    more or 2^28 beats and more, is one of 0 beats, an error (see BurstSplitter).
    """

    LATENCY = 8

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "step": In(step_layout(config)),
                "command": In(command_layout(Opcode.STORE)),
                "share": In(SHARE),
                "start": In(1),
                "o": Out(stream.Signature(WRITE_DESCRIPTOR)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        command, share = self.command, self.share
        m = Module()
        moves = Signal()  # all stages at once
        active = Signal()
        segment_offset = Signal(_PLACE_BITS, reset_less=True)
        sequence = self._loops(m, active, segment_offset, moves)

        def entry(name: str, otherwise: Value | int = 0) -> Value:
            entries = Array(entry[name] for entry in self.step.entries)
            return Mux(command.cache, entries[sequence], otherwise)

        def registered(name: str, value: Value, bits: int, cycles: int = 1) -> Signal:
            for _ in range(cycles):
                target = Signal(bits, name=name, reset_less=True)
                with m.If(moves):
                    m.d.sync += target.eq(value)
                value = target
            return value

        span_end = share.row + share.rows
        kv_base = registered("kv_base", entry("kv_base"), OFFSET_BITS)
        position = registered("position", entry("position"), 21)
        first_row = registered("first_row", entry("first_row"), ROW_BITS)
        tokens = registered("tokens", entry("tokens", span_end), ROW_BITS)
        segment = registered("segment", segment_offset, _PLACE_BITS)
        base = registered("base", kv_base + segment, _PLACE_BITS)  # stage 2
        low = registered("low", Mux(first_row > share.row, first_row, share.row), ROW_BITS)
        end = registered("end", first_row + tokens, ROW_BITS)
        skipped = registered("skipped", position - first_row, _TOKEN_BITS)
        high = registered("high", Mux(end < span_end, end, span_end), ROW_BITS)  # stage 3
        place = registered("place", skipped + low, _TOKEN_BITS, cycles=2)  # stage 4
        low = registered("low", low, ROW_BITS)  # stage 3
        count = registered("count", high - low, ROW_BITS)
        size = command.segment_beats
        place_beats = registered("place_beats", place * size, 34, cycles=2)  # stage 6
        count_beats = registered("count_beats", count * size, 32, cycles=2)
        far = registered("far", base[OFFSET_BITS:].any(), 1, cycles=4)
        base = registered("base", base[:OFFSET_BITS], OFFSET_BITS, cycles=4)
        offset = Signal(OFFSET_BITS + 1)
        beyond = Cat(
            far, place_beats[OFFSET_BITS:], count_beats[LENGTH_BITS:], offset[OFFSET_BITS]
        ).any()
        valid = Signal(6)
        m.d.comb += [
            offset.eq(base + place_beats[:OFFSET_BITS]),
            moves.eq(~self.o.valid | self.o.ready),
            self.idle.eq(~Cat(active, valid, self.o.valid).any()),
            self.o.payload.traffic.eq(command.traffic),
            self.o.payload.command.eq(command_index(command.as_value())),
        ]
        target = payload_register(m, self.o.payload.offset, "target")
        beats = payload_register(m, self.o.payload.beats, "beats")
        with m.If(moves):
            m.d.sync += [
                valid.eq(Cat(active, valid)),
                valid[3].eq(valid[2] & (high > low)),
                self.o.valid.eq(valid[5]),
                target.eq(offset),
                beats.eq(Mux(beyond, 0, count_beats)),
            ]
        return m

    def _loops(self, m: Module, active: Signal, segment_offset: Signal, moves: Signal) -> Signal:
        """For every segment, for every sequence, which is returned."""
        command, share, config = self.command, self.share, self._config
        sequence = Signal(range(max(2, config.sequences)), reset_less=True)
        left = Signal.like(share.segments, reset_less=True)
        stride = Mux(
            share.by_segment, command.segment_stride * config.ports, command.segment_stride
        )
        last_sequence = Signal.like(sequence, reset_less=True)
        m.d.sync += last_sequence.eq(Mux(command.cache, self.step.sequences - 1, 0))
        with m.If(active & moves):
            m.d.sync += sequence.eq(sequence + 1)
            with m.If(sequence == last_sequence):
                m.d.sync += [
                    sequence.eq(0),
                    left.eq(left - 1),
                    segment_offset.eq(segment_offset + stride),
                    active.eq(left != 1),
                ]
        with m.If(self.start):
            m.d.sync += [
                active.eq(share.segments.any() & share.rows.any()),
                sequence.eq(0),
                left.eq(share.segments),
                segment_offset.eq(share.offset),
            ]
        return sequence
