# SPDX-License-Identifier: Apache-2.0
"""Norm unit: layer norm and RMS norm of INT16 rows in activation memory to rows of words with
exponents, for post-norm models to INT16 too.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.command_runner import CommandRunner
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.queue import Queue
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.memory import STRIDE_BITS, memory_write_layout
from rtl_gen.interfaces.norm import norm_write_layout
from rtl_gen.interfaces.row_set import ROW_BITS, gathers, row_count
from rtl_gen.memory.row_addresses import RowAddresses
from rtl_gen.memory.row_reader import ROWS_AHEAD, buffered_layout, row_layout, word_layout
from rtl_gen.norm.norm_lane import NormLane
from rtl_gen.norm.norm_output import NormOutput
from rtl_gen.norm.norm_parameters import NormParameters
from rtl_gen.norm.norm_scale import NORM_SCALE, NormScale
from rtl_gen.norm.norm_statistics import NormStatistics

__all__ = ["NormUnit"]


class NormUnit(wiring.Component):
    """numerics.layer_norm_row of every row of the row set, with gain and offset of the norm
    parameter memory.

    The first pass over a row takes its statistics, the second one normalises it. The result goes to
    the destination as words with exponents (WordRounding). With `residual` it is written twice, the
    second time as INT16 in place of the row. A word of W/2 elements takes norm_turns cycles of the
    norm_lanes lanes.

    Parameters
    ----------
    config: width W, norm_channels, norm_lanes.

    Members
    -------
    i_command: In stream of COMMAND_BITS, NORM commands only.
    step: In(step_layout).
    o_row, o_row_done, i_word, i_buffered: a RowReader, whose words all belong to this unit
        meanwhile.
    o_write: Out stream of memory_write_layout, of client "vector" of ActivationMemory.
    i_norm: In stream of norm_write_layout without back-pressure, parameters from the loader.
    busy: Out(1), from the cycle a command is offered until its last word is in memory.

    Rows are read in order and written in order; a destination must not overlap a row that is still
    to be read. A row of which a word is normalised has been read as a whole, because its statistics
    are needed first, and no row is read twice: so its words may be replaced one by one, if the
        source rows do not overlap.
    Latency: `busy` for words * (1 + norm_turns) + fixed_cycles(config) cycles with one row (not
    gathered) and no stalls, with `residual` and one turn words/2 - 1 more. Throughput: one INT16
    word in norm_turns cycles while the memory grants reads; with `residual` and one turn words +
    words/2 cycles per row, one for each written word; rows of fewer than about 6 words wait for
    their scales, ROWS_AHEAD at a time. Back-pressure: reads and writes may stall at any time.
    Rounding: numerics.layer_norm_row (see NormScale for its one limit) and numerics.word_values.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_row": Out(stream.Signature(row_layout())),
                "o_row_done": Out(1),
                "i_word": In(stream.Signature(word_layout(config), always_ready=True)),
                "i_buffered": In(stream.Signature(buffered_layout(config))),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "i_norm": In(stream.Signature(norm_write_layout(config), always_ready=True)),
                "busy": Out(1),
            }
        )

    @staticmethod
    def fixed_cycles(config: AcceleratorConfig) -> int:
        """Cycles of a command beside reading and normalising the words of its only row."""
        return 71 + (config.width // 2).bit_length() - 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        runner = CommandRunner(m, self.i_command, opcode=Opcode.NORM, prepare_cycles=1)
        m.d.comb += self.busy.eq(runner.busy)
        command, start = runner.command, runner.start
        rows = Signal(ROW_BITS, reset_less=True)
        gather = Signal(reset_less=True)
        with m.If(runner.prepare):
            m.d.sync += [
                rows.eq(row_count(self.step, command.row_set, command.rows)),
                gather.eq(gathers(self.step, command.row_set)),
            ]

        self._rows(m, command, rows, gather, start)
        self._statistics(m, command)
        m.submodules.output = output = NormOutput(config=self._config)
        m.d.comb += [
            output.command.eq(command),
            output.rows.eq(rows),
            output.start.eq(start),
            runner.finished.eq(output.o_finished),
        ]
        connect(m, output.o_write, flipped(self.o_write))
        self._normalise(m, command, output)
        return m

    def _rows(
        self, m: Module, command: data.View, rows: Value, gather: Value, start: Value
    ) -> None:
        """Rows to read."""
        m.submodules.rows = addresses = RowAddresses(config=self._config)
        m.d.comb += [
            addresses.step.eq(self.step),
            addresses.start.eq(start),
            addresses.source.eq(command.source),
            addresses.stride.eq(command.source_stride),
            addresses.rows.eq(rows),
            addresses.gather.eq(gather),
            self.o_row.valid.eq(addresses.o.valid),
            self.o_row.payload.address.eq(addresses.o.payload),
            self.o_row.payload.words.eq(command.words),
            addresses.o.ready.eq(self.o_row.ready),
        ]

    def _statistics(self, m: Module, command: data.View) -> None:
        """First pass: words to the queue of row scales."""
        m.submodules.statistics = statistics = NormStatistics(config=self._config)
        m.submodules.scale = scale = NormScale(config=self._config)
        m.submodules.scales = scales = Queue(shape=NORM_SCALE, depth=ROWS_AHEAD, direct=True)
        connect(m, flipped(self.i_word), statistics.i)
        connect(m, statistics.o, scale.i)
        m.d.comb += [
            scale.command.eq(command),
            scales.i.valid.eq(scale.o.valid),
            scales.i.payload.eq(scale.o.payload),
        ]

    def _normalise(self, m: Module, command: data.View, output: NormOutput) -> None:
        """Second pass: words of the row buffer with the scale of their row, through the lanes, to
        the output.
        """
        config = self._config
        scales = m.submodules.scales
        current_valid = Signal()
        current = Signal(NORM_SCALE, reset_less=True)
        half = Signal(47, reset_less=True)
        index = Signal(STRIDE_BITS)
        popped = Signal()
        word = self.i_buffered.payload
        # The lanes take a word in parts, in cycles that follow each other; it is popped with the
        # last of them.
        turns, part_bits = config.norm_turns, 16 * config.norm_lanes
        turn = Signal(range(max(2, turns)))
        begins = Signal()
        ends = Signal()
        m.d.comb += [
            begins.eq((turn == 0) & self.i_buffered.valid & current_valid & output.o_ready),
            ends.eq(turn == turns - 1),
            self.i_buffered.ready.eq(ends & ((turn != 0) | (current_valid & output.o_ready))),
            popped.eq(self.i_buffered.valid & self.i_buffered.ready),
            output.i_admit.eq(begins),
            self.o_row_done.eq(popped & word.last),
            scales.o.ready.eq(~current_valid | self.o_row_done),
        ]
        fresh = scales.o.payload
        with m.If(scales.o.ready):
            m.d.sync += [
                current_valid.eq(scales.o.valid),
                current.eq(fresh),
                half.eq((Const(1, 1) << fresh.shift) >> 1),
            ]
        with m.If(popped):
            m.d.sync += turn.eq(0)
        with m.Elif(begins | (turn != 0)):
            m.d.sync += turn.eq(turn + 1)
        with m.If(popped):
            m.d.sync += index.eq(index + 1)
            with m.If(word.last):
                m.d.sync += index.eq(0)

        m.submodules.parameters = parameters = NormParameters(config=config)
        # An element enters its lane in the cycle after the pop.
        ahead = 1 + NormLane.PARAMETER_DELAY - NormParameters.LATENCY
        connect(m, flipped(self.i_norm), parameters.i_write)
        m.d.comb += parameters.index.eq(delayed(m, index, ahead, "parameter_index"))
        x = delayed(m, word.data.word_select(turn, part_bits), 1, "word")
        own = delayed(m, turn, 1 + NormLane.PARAMETER_DELAY, "turn")
        own_parameters = parameters.o.word_select(own, 2 * part_bits)
        scale = data.View(NORM_SCALE, delayed(m, current.as_value(), 1, "scale"))
        lane_half = delayed(m, half, 1 + NormLane.HALF_DELAY, "half")
        lane_shift = delayed(m, scale.shift, NormLane.SHIFT_DELAY, "shift")
        out_half = Signal(32, reset_less=True)
        wide_half = Signal(32, reset_less=True)
        wide_change = Signal(signed(33), reset_less=True)
        m.d.sync += [
            out_half.eq((Const(1, 1) << command.output_shift) >> 1),
            wide_half.eq((Const(1, 1) << command.residual_shift) >> 1),
            wide_change.eq(wide_half - out_half),
        ]
        lanes = []
        for number in range(config.norm_lanes):
            m.submodules[f"lane{number}"] = lane = NormLane()
            m.d.comb += [
                lane.x.eq(x.word_select(number, 16)),
                lane.mean.eq(scale.mean),
                lane.root.eq(scale.root),
                lane.half.eq(lane_half),
                lane.shift.eq(lane_shift),
                lane.parameters.as_value().eq(own_parameters.word_select(number, 32)),
                lane.offset_shift.eq(command.offset_shift),
                lane.out_half.eq(out_half),
                lane.out_shift.eq(command.output_shift),
                lane.wide_change.eq(wide_change),
                lane.wide_shift.eq(command.residual_shift),
            ]
            lanes.append(lane)

        valid = delayed(m, popped, 1 + NormLane.LATENCY, "valid", reset_less=False)
        m.d.comb += output.i_valid.eq(valid)
        for name, parts, whole in (
            ("values", Cat(lane.y for lane in lanes), output.values),
            ("wide", Cat(lane.wide for lane in lanes), output.wide),
        ):
            # Those of earlier turns wait for those of the last.
            held = [delayed(m, parts, turns - 1 - t, f"{name}{t}") for t in range(turns)]
            m.d.comb += whole.eq(Cat(*held))
