# SPDX-License-Identifier: Apache-2.0
"""Write descriptors of one port for a STORE."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.control.bundles import command_layout, step_layout
from rtl_gen.dma.bundles import WRITE_DESCRIPTOR
from rtl_gen.vector.row_set import ROW_BITS

__all__ = ["StoreDescriptors"]


class _State(enum.Enum, shape=3):
    IDLE = 0
    ENTRY = 1
    CHECK = 2
    MULTIPLY = 3
    PLACE = 4
    OFFER = 5


class StoreDescriptors(wiring.Component):
    """One descriptor per stretch of beats that is contiguous in DRAM for this port.

    by_segment: for segments j = port, port + P, ...: for every span (sequence of a cache store, else all rows): the span's
    rows of segment j, tokens*segment_beats beats. Else: for rows r = port, port + P, ...: for every segment: segment_beats
    beats. Offset of (j, r): offset + j*segment_stride + base(r), base(r) = r*segment_beats or, with `cache` and sequence s
    of row r, kv_base[s] + (position[s] + r - first_row[s])*segment_beats.

    Parameters
    ----------
    config : ports P, the sequence table. port : number of this port.

    Members
    -------
    step, command, rows, by_segment : stable from `start` until idle. start : In(1), pulse while idle.
    o : Out(stream, WRITE_DESCRIPTOR). idle : Out(1).

    Throughput: descriptors of one row in consecutive cycles, a new span or row after PLACE_CYCLES cycles.
    A span longer than 2^28 - 1 beats does not fit a descriptor.
    """

    PLACE_CYCLES = 5

    def __init__(self, *, config: AcceleratorConfig, port: int) -> None:
        self._config = config
        self._port = port
        super().__init__(
            {
                "step": In(step_layout(config)),
                "command": In(command_layout(Opcode.STORE)),
                "rows": In(ROW_BITS),
                "by_segment": In(1),
                "start": In(1),
                "o": Out(stream.Signature(WRITE_DESCRIPTOR)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config, command = self._config, self.command
        m = Module()
        state = Signal(_State)
        sequence = Signal(range(max(2, config.sequences + 1)))
        row = Signal(ROW_BITS + 1)
        segment = Signal(13)
        kv_base = Signal(32)
        position = Signal(21)
        first_row = Signal(16)
        tokens = Signal(ROW_BITS)
        place = Signal(21)
        count = Signal(ROW_BITS)
        place_beats = Signal(33)
        count_beats = Signal(32)
        segment_offset = Signal(32)
        offset = Signal(32)

        m.d.comb += [
            self.idle.eq(state == _State.IDLE),
            self.o.valid.eq(state == _State.OFFER),
            self.o.payload.offset.eq(offset),
            self.o.payload.beats.eq(count_beats),
            self.o.payload.traffic.eq(command.traffic),
        ]
        first = Mux(self.by_segment, command.segment_stride * self._port, 0)
        limit = Mux(self.by_segment, command.segments, self.rows)

        def entry(name: str) -> Value:
            return Array(self.step.entries[i][name] for i in range(config.sequences))[sequence]

        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += [
                    sequence.eq(0),
                    row.eq(self._port),
                    segment.eq(Mux(self.by_segment, self._port, 0)),
                    segment_offset.eq(command.offset + first),
                ]
                with m.If(self.start & (limit > self._port) & self.rows.any()):
                    m.d.sync += state.eq(_State.ENTRY)
            with m.Case(_State.ENTRY):
                m.d.sync += [
                    kv_base.eq(Mux(command.cache, entry("kv_base"), 0)),
                    position.eq(Mux(command.cache, entry("position"), 0)),
                    first_row.eq(Mux(command.cache, entry("first_row"), 0)),
                    tokens.eq(Mux(command.cache, entry("tokens"), self.rows)),
                    state.eq(_State.CHECK),
                ]
            with m.Case(_State.CHECK):
                m.d.sync += [
                    place.eq(Mux(self.by_segment, position, position + row - first_row)),
                    count.eq(Mux(self.by_segment, tokens, 1)),
                    state.eq(_State.MULTIPLY),
                ]
                with m.If(~self.by_segment & (row >= first_row + tokens)):
                    m.d.sync += [sequence.eq(sequence + 1), state.eq(_State.ENTRY)]
            with m.Case(_State.MULTIPLY):
                m.d.sync += [
                    place_beats.eq(place * command.segment_beats),
                    count_beats.eq(count * command.segment_beats),
                    state.eq(_State.PLACE),
                ]
            with m.Case(_State.PLACE):
                m.d.sync += [
                    offset.eq(kv_base + place_beats + segment_offset),
                    state.eq(_State.OFFER),
                ]
            with m.Case(_State.OFFER):
                with m.If(self.o.ready):
                    with m.If(self.by_segment):
                        self._next_span(m, state, sequence, segment, segment_offset)
                    with m.Else():
                        m.d.sync += [
                            segment.eq(segment + 1),
                            offset.eq(offset + command.segment_stride),
                        ]
                        with m.If(segment == command.segments - 1):
                            m.d.sync += [
                                segment.eq(0),
                                row.eq(row + config.ports),
                                state.eq(
                                    Mux(row + config.ports < self.rows, _State.CHECK, _State.IDLE)
                                ),
                            ]
        return m

    def _next_span(
        self, m: Module, state: Signal, sequence: Signal, segment: Signal, segment_offset: Signal
    ) -> None:
        command, ports = self.command, self._config.ports
        m.d.sync += [sequence.eq(sequence + 1), state.eq(_State.ENTRY)]
        with m.If(~command.cache | (sequence == self.step.sequences - 1)):
            m.d.sync += [
                sequence.eq(0),
                segment.eq(segment + ports),
                segment_offset.eq(segment_offset + command.segment_stride * ports),
            ]
            with m.If(segment + ports >= command.segments):
                m.d.sync += state.eq(_State.IDLE)
