# SPDX-License-Identifier: Apache-2.0
"""Tile operations and drain jobs of a MATMUL."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode, RowSet
from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import EPILOGUES, outputs_with
from rtl_gen.interfaces.command import command_layout, step_layout
from rtl_gen.interfaces.epilogue import drain_mode, is_one_of
from rtl_gen.interfaces.memory import ADDRESS_BITS
from rtl_gen.interfaces.schedule import drain_job_layout, tile_op_layout

__all__ = ["MatmulSchedule"]


class MatmulSchedule(wiring.Component):
    """for n in slices: (for k in tiles: for g in groups: tile operation), job.

    Members
    -------
    i_command: In stream of a MATMUL; taken when idle.
    step: In(step_layout), stable.
    o_op: Out stream of tile_op_layout. The target is BUFFER0, the buffer of a phase is chosen
        behind.
    o_job: Out stream of drain_job_layout; a job follows the last tile operation of its phase.
    busy: Out, from the cycle after a command was taken until its last job was.

    The two halves of slice n use the operand words 2n and 2n + 1 mod operand_words, a power of two:
    if that is 1 the same one, else neighbours. With operand_words = 0 none is used twice.

    Throughput: one tile operation per cycle, one cycle more per slice. Latency: LATENCY cycles from
    the command to a valid one.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(command_layout(Opcode.MATMUL))),
                "step": In(step_layout(config)),
                "o_op": Out(stream.Signature(tile_op_layout(config))),
                "o_job": Out(stream.Signature(drain_job_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        lanes, width = config.lanes, config.width
        lane_bits, cycle_bits = (lanes - 1).bit_length(), (config.tile_cycles - 1).bit_length()
        command = Signal(command_layout(Opcode.MATMUL), reset_less=True)
        rows = Signal(16, reset_less=True)
        rows_left = Signal(16, reset_less=True)
        group = Signal(self.o_op.payload.work.group.shape(), reset_less=True)
        last_group = Signal(group.shape(), reset_less=True)
        tile = Signal(12, reset_less=True)
        slice_ = Signal(16, reset_less=True)
        tile_source = Signal(ADDRESS_BITS, reset_less=True)
        group_source = Signal(ADDRESS_BITS, reset_less=True)
        destination = Signal(ADDRESS_BITS, reset_less=True)
        channel = Signal(20, reset_less=True)
        remaining = Signal(signed(22), reset_less=True)
        group_stride = Cat(Const(0, lane_bits), command.source_stride)
        all_rows = (command.row_set == RowSet.CHUNK.value) | self.step.head_all
        group_ends = Signal()
        tiles_end = Signal()
        slices_end = Signal()
        operand_index = Signal(ADDRESS_BITS, reset_less=True)  # of the slice's first half
        wide = Signal()
        m.d.comb += [
            group_ends.eq(group == last_group),
            tiles_end.eq(tile == command.tiles - 1),
            slices_end.eq(slice_ == command.slices - 1),
            wide.eq(is_one_of(command.output, outputs_with(lambda epilogue: epilogue.wide))),
        ]

        op, operand = self.o_op.payload, self.o_op.payload.operand
        m.d.comb += [
            op.tile_last.eq(group_ends),
            op.phase_first.eq((group == 0) & (tile == 0)),
            op.phase_last.eq(group_ends & tiles_end),
            op.cycles.eq(config.tile_cycles),
            op.work.address.eq(Cat(Const(0, cycle_bits), group)),
            op.work.first.eq(tile == 0),
            op.work.group.eq(group),
            operand.words.eq(Mux(rows_left >= lanes, lanes, rows_left)),
            operand.walk.base.eq(group_source),
            operand.walk.stride.eq(command.source_stride),
            operand.walk.heads.eq(1),
            operand.mask.eq(~Const(0, len(operand.mask))),
            operand.own_exponents.eq(command.exponent == 0),
            operand.exponent.eq(command.exponent),
        ]
        job, results = self.o_job.payload, self.o_job.payload.destination
        m.d.comb += [
            job.tokens.eq(rows),
            job.blocks.eq(1),
            results.walk.heads.eq(1),
            results.walk.base.eq(destination),
            results.walk.stride.eq(command.destination_stride),
            results.operand.eq(command.operand + operand_index),
            results.operand_stride.eq(command.operand_stride),
            job.operand_second.eq(command.operand_words != 1),
            results.post_shift.eq(command.post_shift),
            results.mask.eq(~Const(0, len(results.mask))),
            results.channel.eq(channel),
            job.remaining.eq(remaining),
            results.restart.eq(command.restart & (slice_ == 0)),
        ]
        with m.Switch(command.output):
            for output, epilogue in EPILOGUES.items():
                with m.Case(output.value):
                    m.d.comb += [
                        job.task.mode.eq(drain_mode(epilogue)),
                        results.result.eq(epilogue.mode),
                    ]

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += self.i_command.ready.eq(1)
                m.d.sync += command.eq(self.i_command.payload)
                with m.If(self.i_command.valid):
                    m.next = "SETUP"
            with m.State("SETUP"):
                count = Mux(all_rows, self.step.rows, self.step.sequences)
                m.d.sync += [
                    rows.eq(count),
                    rows_left.eq(count),
                    last_group.eq((count - 1) >> lane_bits),
                    group.eq(0),
                    tile.eq(0),
                    slice_.eq(0),
                    tile_source.eq(command.source),
                    group_source.eq(command.source),
                    destination.eq(command.destination),
                    channel.eq(command.first_channel),
                    remaining.eq(command.channels),
                    operand_index.eq(0),
                ]
                m.next = "OP"
            with m.State("OP"):
                m.d.comb += self.o_op.valid.eq(1)
                with m.If(self.o_op.ready):
                    m.d.sync += [
                        group.eq(group + 1),
                        group_source.eq(group_source + group_stride),
                        rows_left.eq(rows_left - lanes),
                    ]
                    with m.If(group_ends):
                        m.d.sync += [
                            group.eq(0),
                            rows_left.eq(rows),
                            tile.eq(tile + 1),
                            tile_source.eq(tile_source + 1),
                            group_source.eq(tile_source + 1),
                        ]
                        with m.If(tiles_end):
                            m.d.sync += [
                                tile.eq(0),
                                tile_source.eq(command.source),
                                group_source.eq(command.source),
                            ]
                            m.next = "JOB"
            with m.State("JOB"):
                m.d.comb += self.o_job.valid.eq(1)
                with m.If(self.o_job.ready):
                    m.d.sync += [
                        slice_.eq(slice_ + 1),
                        destination.eq(destination + 1 + wide),
                        channel.eq(channel + width),
                        remaining.eq(remaining - width),
                        # 0 - 1 is negative: all bits of the index stay.
                        operand_index.eq((operand_index + 2) & (command.operand_words - 1)),
                    ]
                    m.next = "OP"
                    with m.If(slices_end):
                        m.next = "IDLE"
        return m
