# SPDX-License-Identifier: Apache-2.0
"""Turns MATMUL and ATTEND commands into one stream of tile operations and one of drain jobs."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.attend_schedule import AttendSchedule
from rtl_gen.array.matmul_schedule import MatmulSchedule
from rtl_gen.interfaces.command import (
    COMMAND_BITS,
    INDEX_BITS,
    command_index,
    command_layout,
    step_layout,
)
from rtl_gen.interfaces.lane import Target
from rtl_gen.interfaces.schedule import drain_job_layout, tile_op_layout

__all__ = ["TileOpGenerator"]


class TileOpGenerator(wiring.Component):
    """Runs one command's schedule after the other and gives every phase but OUTPUT the buffer that
    is next in turn.

    The turn goes on across commands, so the first phase of a command may accumulate while the last
    one of the command before it is drained.

    Members
    -------
    i_command: In stream of COMMAND_BITS, a MATMUL or an ATTEND with its index.
    step: In(step_layout), stable.
    o_op: Out stream of tile_op_layout.
    o_job: Out stream of drain_job_layout.
    busy: Out, from the cycle after a command was taken until its last job was.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_op": Out(stream.Signature(tile_op_layout(config))),
                "o_job": Out(stream.Signature(drain_job_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.matmul = matmul = MatmulSchedule(config=self._config)
        m.submodules.attend = attend = AttendSchedule(config=self._config)
        opcode = self.i_command.payload[:8]
        m.d.comb += self.busy.eq(matmul.busy | attend.busy)
        for schedule, kind in ((matmul, Opcode.MATMUL), (attend, Opcode.ATTEND)):
            layout = command_layout(kind)
            m.d.comb += [
                schedule.step.eq(self.step),
                schedule.i_command.payload.eq(
                    data.View(layout, self.i_command.payload[: layout.size])
                ),
                schedule.i_command.valid.eq(
                    self.i_command.valid & ~self.busy & (opcode == kind.value)
                ),
            ]
        m.d.comb += self.i_command.ready.eq(~self.busy)

        command = Signal(INDEX_BITS, reset_less=True)
        with m.If(self.i_command.valid & self.i_command.ready):
            m.d.sync += command.eq(command_index(self.i_command.payload))
        turn = Signal()
        op, job = self.o_op.payload, self.o_job.payload
        for output, first, second in (
            (self.o_op, matmul.o_op, attend.o_op),
            (self.o_job, matmul.o_job, attend.o_job),
        ):
            m.d.comb += [
                output.valid.eq(first.valid | second.valid),
                output.payload.eq(first.payload),
                first.ready.eq(output.ready),
                second.ready.eq(output.ready & attend.busy),
            ]
            with m.If(attend.busy):
                m.d.comb += [output.payload.eq(second.payload), first.ready.eq(0)]
        m.d.comb += [op.command.eq(command), job.destination.command.eq(command)]
        for mine, asked in (
            (op.work.target, attend.o_op.payload.work.target),
            (job.task.target, attend.o_job.payload.task.target),
        ):
            with m.If(~attend.busy | (asked != Target.OUTPUT)):
                m.d.comb += mine.eq(Mux(turn, Target.BUFFER1, Target.BUFFER0))
        ended = self.o_job.valid & self.o_job.ready
        with m.If(ended & (job.task.target != Target.OUTPUT)):
            m.d.sync += turn.eq(~turn)
        return m
