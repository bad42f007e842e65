# SPDX-License-Identifier: Apache-2.0
"""Norm unit: layer norm and RMS norm of INT16 rows in activation memory to INT8 rows."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.delay import delayed
from rtl_gen.control.bundles import COMMAND_BITS, command_layout, step_layout
from rtl_gen.vector.activation_memory import (
    ADDRESS_BITS,
    memory_read_layout,
    memory_write_layout,
)
from rtl_gen.vector.norm_lane import NormLane
from rtl_gen.vector.norm_parameters import NormParameters, norm_write_layout
from rtl_gen.vector.norm_scale import NORM_SCALE, NormScale
from rtl_gen.vector.norm_statistics import NormStatistics
from rtl_gen.vector.row_addresses import RowAddresses
from rtl_gen.vector.row_set import ROW_BITS, gathers, row_count

__all__ = ["NormUnit"]

_ROWS_AHEAD = 16
"""Rows between their first read and their last pop from the row buffer."""
_WORDS_AHEAD = 64
"""Words read while the scale of a row is computed; covers the way from a row's last word to its first pop."""
_OUTPUT_WORDS = 16
"""INT8 words between the pop of their first half and the memory's write port."""


class _State(enum.Enum, shape=2):
    IDLE = 0
    PREPARE = 1
    START = 2
    RUN = 3


class NormUnit(wiring.Component):
    """numerics.layer_norm_row of every row of the row set, with gain and offset of the norm parameter memory.

    A row is read once: its words go to the statistics and into a row buffer of at least two longest rows, and leave the buffer
    for the second pass when mean and factor are known. So reading row r+1 and normalising row r overlap.

    Parameters
    ----------
    config : width W (W/2 lanes), norm_channels.

    Members
    -------
    i_command : In(stream, COMMAND_BITS), NORM commands only. step : In(step_layout).
    o_read, i_read, o_write : client "vector" of ActivationMemory.
    i_norm : In(stream, norm_write_layout), parameters from the loader; always ready.
    busy : Out(1), from the cycle a command is offered until its last word is in memory.

    Rows are read in order and written in order; a destination must not overlap a row that is still to be read.
    Latency: `busy` for 2*words + fixed_cycles(config) cycles with one row (not gathered) and no stalls. Throughput: one INT16 word per cycle (`words`
    cycles per row) while the memory grants reads. Back-pressure: reads and writes may stall at any time.
    Rounding: numerics.layer_norm_row (see NormScale for its one limit).
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_read": Out(stream.Signature(ADDRESS_BITS)),
                "i_read": In(memory_read_layout(config)),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "i_norm": In(stream.Signature(norm_write_layout(config))),
                "busy": Out(1),
            }
        )

    @staticmethod
    def fixed_cycles(config: AcceleratorConfig) -> int:
        """Cycles of a command beside reading and normalising the words of its only row."""
        return 64 + (config.width // 2).bit_length() - 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(_State)
        command = Signal(command_layout(Opcode.NORM), reset_less=True)
        rows = Signal(ROW_BITS)
        gather = Signal()
        finished = Signal()
        m.d.comb += [
            self.i_command.ready.eq(state == _State.IDLE),
            self.busy.eq(self.i_command.valid | (state != _State.IDLE)),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += command.as_value().eq(self.i_command.payload)
                with m.If(self.i_command.valid):
                    m.d.sync += state.eq(_State.PREPARE)
            with m.Case(_State.PREPARE):
                m.d.sync += [
                    rows.eq(row_count(self.step, command.row_set, command.rows)),
                    gather.eq(gathers(self.step, command.row_set)),
                    state.eq(_State.START),
                ]
            with m.Case(_State.START):
                m.d.sync += state.eq(_State.RUN)
            with m.Case(_State.RUN):
                with m.If(finished):
                    m.d.sync += state.eq(_State.IDLE)
        start = state == _State.START

        word_valid, word, popped, row_done = self._read(m, command, rows, gather, start)
        self._statistics(m, command, start)
        self._normalise(m, command, word_valid, word, popped, row_done)
        self._write(m, command, rows, start, finished)
        return m

    def _read(
        self, m: Module, command: data.View, rows: Value, gather: Value, start: Value
    ) -> tuple[Value, Value, Signal, Signal]:
        """Row addresses to read requests; returns the row buffer's valid, data, and its pop and row-done inputs."""
        config = self._config
        longest = 2 * config.norm_channels // config.width
        depth = longest + max(longest, _WORDS_AHEAD) + 1
        m.submodules.rows = addresses = RowAddresses(config=config)
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(width=8 * config.width, depth=depth)
        popped, row_done = Signal(), Signal()
        m.d.comb += [
            addresses.step.eq(self.step),
            addresses.start.eq(start),
            addresses.source.eq(command.source),
            addresses.stride.eq(command.source_stride),
            addresses.rows.eq(rows),
            addresses.gather.eq(gather),
            buffer.w_en.eq(self.i_read.valid),
            buffer.w_data.eq(self.i_read.data),
            buffer.r_en.eq(popped),
        ]
        reading = Signal()
        address = Signal(ADDRESS_BITS)
        left = Signal(12)
        room = Signal(range(depth + 1), init=depth)
        ahead = Signal(range(_ROWS_AHEAD + 1))
        read, next_row = Signal(), Signal()
        m.d.comb += [
            self.o_read.valid.eq(reading & room.any()),
            self.o_read.payload.eq(address),
            read.eq(self.o_read.valid & self.o_read.ready),
            addresses.o.ready.eq((~reading | (read & (left == 1))) & (ahead != _ROWS_AHEAD)),
            next_row.eq(addresses.o.valid & addresses.o.ready),
        ]
        m.d.sync += [
            room.eq(room - read + popped),
            ahead.eq(ahead + next_row - row_done),
        ]
        with m.If(read):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1), reading.eq(left != 1)]
        with m.If(next_row):
            m.d.sync += [
                address.eq(addresses.o.payload),
                left.eq(command.words),
                reading.eq(1),
            ]
        return buffer.r_rdy, buffer.r_data, popped, row_done

    def _statistics(self, m: Module, command: data.View, start: Value) -> None:
        """Words read to the queue of row scales."""
        m.submodules.statistics = statistics = NormStatistics(config=self._config)
        m.submodules.scale = scale = NormScale(config=self._config)
        m.submodules.scales = scales = fifo.SyncFIFO(width=NORM_SCALE.size, depth=_ROWS_AHEAD)
        index = Signal(12)
        last = index == command.words - 1
        with m.If(start):
            m.d.sync += index.eq(0)
        with m.Elif(self.i_read.valid):
            m.d.sync += index.eq(index + 1)
            with m.If(last):
                m.d.sync += index.eq(0)
        m.d.comb += [
            statistics.i.valid.eq(self.i_read.valid),
            statistics.i.first.eq(index == 0),
            statistics.i.last.eq(last),
            statistics.i.data.eq(self.i_read.data),
            scale.i.eq(statistics.o),
            scale.command.eq(command),
            scales.w_en.eq(scale.o.valid),
            scales.w_data.eq(scale.o.payload.as_value()),
        ]

    def _normalise(
        self,
        m: Module,
        command: data.View,
        word_valid: Value,
        word: Value,
        popped: Signal,
        row_done: Signal,
    ) -> None:
        """Second pass: words of the row buffer with the scale of their row, through the lanes, to the output queue."""
        config = self._config
        scales = m.submodules.scales
        current_valid = Signal()
        current = Signal(NORM_SCALE, reset_less=True)
        half = Signal(47, reset_less=True)
        index = Signal(12)
        last = Signal()
        room = Signal(range(_OUTPUT_WORDS + 1), init=_OUTPUT_WORDS)
        m.d.comb += [
            last.eq(index == command.words - 1),
            popped.eq(current_valid & word_valid & (index[0] | room.any())),
            row_done.eq(popped & last),
            scales.r_en.eq(~current_valid | row_done),
        ]
        fresh = data.View(NORM_SCALE, scales.r_data)
        with m.If(scales.r_en):
            m.d.sync += [
                current_valid.eq(scales.r_rdy),
                current.eq(fresh),
                half.eq((Const(1, 1) << fresh.shift) >> 1),
            ]
        with m.If(popped):
            m.d.sync += index.eq(index + 1)
            with m.If(last):
                m.d.sync += index.eq(0)

        m.submodules.parameters = parameters = NormParameters(config=config)
        # An element enters its lane in the cycle after the pop.
        ahead = 1 + NormLane.PARAMETER_DELAY - NormParameters.LATENCY
        m.d.comb += [
            parameters.i_write.payload.eq(self.i_norm.payload),
            parameters.i_write.valid.eq(self.i_norm.valid),
            self.i_norm.ready.eq(parameters.i_write.ready),
            parameters.index.eq(delayed(m, index, ahead, "parameter_index")),
        ]
        x = delayed(m, word, 1, "word")
        scale = data.View(NORM_SCALE, delayed(m, current.as_value(), 1, "scale"))
        lane_half = delayed(m, half, 1 + NormLane.HALF_DELAY, "half")
        lane_shift = delayed(m, scale.shift, NormLane.SHIFT_DELAY, "shift")
        out_half = Signal(32, reset_less=True)
        m.d.sync += out_half.eq((Const(1, 1) << command.output_shift) >> 1)
        results = []
        for number in range(config.width // 2):
            m.submodules[f"lane{number}"] = lane = NormLane()
            m.d.comb += [
                lane.x.eq(x.word_select(number, 16)),
                lane.mean.eq(scale.mean),
                lane.root.eq(scale.root),
                lane.half.eq(lane_half),
                lane.shift.eq(lane_shift),
                lane.parameters.as_value().eq(parameters.o.word_select(number, 32)),
                lane.offset_shift.eq(command.offset_shift),
                lane.out_half.eq(out_half),
                lane.out_shift.eq(command.output_shift),
            ]
            results.append(lane.y)

        valid = delayed(m, popped, 1 + NormLane.LATENCY, "valid", reset_less=False)
        odd = delayed(m, index[0], 1 + NormLane.LATENCY, "odd")
        low = Signal(4 * config.width, reset_less=True)
        with m.If(valid & ~odd):
            m.d.sync += low.eq(Cat(*results))
        m.submodules.output = output = fifo.SyncFIFO(width=8 * config.width, depth=_OUTPUT_WORDS)
        m.d.comb += [
            output.w_en.eq(valid & odd),
            output.w_data.eq(Cat(low, *results)),
            self.o_write.valid.eq(output.r_rdy),
            self.o_write.payload.data.eq(output.r_data),
            self.o_write.payload.mask.eq(-1),
            output.r_en.eq(self.o_write.ready),
        ]
        written = self.o_write.valid & self.o_write.ready
        m.d.sync += room.eq(room - (popped & ~index[0]) + written)

    def _write(
        self, m: Module, command: data.View, rows: Value, start: Value, finished: Signal
    ) -> None:
        """Addresses of the output words, and the end of the command."""
        row_address = Signal(ADDRESS_BITS)
        address = Signal(ADDRESS_BITS)
        index = Signal(11)
        rows_left = Signal(ROW_BITS)
        m.d.comb += [
            self.o_write.payload.address.eq(address),
            finished.eq(rows_left == 0),
        ]
        with m.If(start):
            m.d.sync += [
                row_address.eq(command.destination),
                address.eq(command.destination),
                index.eq(0),
                rows_left.eq(rows),
            ]
        with m.Elif(self.o_write.valid & self.o_write.ready):
            m.d.sync += [address.eq(address + 1), index.eq(index + 1)]
            with m.If(index == command.words[1:] - 1):
                m.d.sync += [
                    row_address.eq(row_address + command.destination_stride),
                    address.eq(row_address + command.destination_stride),
                    index.eq(0),
                    rows_left.eq(rows_left - 1),
                ]
