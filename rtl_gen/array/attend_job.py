# SPDX-License-Identifier: Apache-2.0
"""Drain jobs of an ATTEND, from where it is."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import AttendPart, Opcode
from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import ResultMode
from rtl_gen.array.attend_place import attend_job_layout, attend_pass_layout
from rtl_gen.interfaces.command import attends_part, command_layout
from rtl_gen.interfaces.lane import DrainMode, Target
from rtl_gen.interfaces.schedule import drain_job_layout

__all__ = ["AttendJob"]


class AttendJob(wiring.Component):
    """The drain job of a pass: scores of a key block, or the output of a sequence.

    The output of heads that fill whole words comes at 16 bits, for words with exponents; that of
    narrower ones at 8 bits, for the part of the word that is theirs.

    Members
    -------
    command: In(ATTEND).
    place: In(attend_pass_layout), the pass.
    part: In(attend_job_layout), what is drained.
    mask: In, 16-byte parts of a word that belong to the head.
    job: Out(drain_job_layout) without `command`; the target of scores is BUFFER0. Combinational.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.ATTEND)),
                "place": In(attend_pass_layout(config)),
                "part": In(attend_job_layout(config)),
                "mask": In(config.word_beats),
                "job": Out(drain_job_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command, place, part, job = self.command, self.place, self.part, self.job
        task, destination, walk = job.task, job.destination, job.destination.walk
        scores_only = Signal()
        whole_words = Signal()
        m.d.comb += [
            whole_words.eq(command.segment_beats == len(self.mask)),
            scores_only.eq(attends_part(self._config, command, AttendPart.SCORES)),
            job.tokens.eq(part.tokens),
            destination.row.eq(part.row),
            destination.mask.eq(Mux(scores_only, ~Const(0, len(self.mask)), self.mask)),
            walk.base.eq(part.address),
            walk.stride.eq(Mux(scores_only, command.scores_stride, command.query_stride)),
            walk.heads.eq(command.heads),
            walk.head_stride.eq(command.blocks),
            task.bank.eq(place.block[0]),
            task.reset.eq(place.block == 0),
            task.causal.eq(command.causal),
            task.limit.eq(part.limit),
        ]
        with m.If(place.by_value):
            m.d.comb += [
                task.mode.eq(Mux(whole_words, DrainMode.OUTPUT16, DrainMode.OUTPUT)),
                destination.result.eq(Mux(whole_words, ResultMode.WORD, ResultMode.WRITE)),
                task.target.eq(Target.OUTPUT),
                job.blocks.eq(command.blocks),
                job.scale.multiplier.eq(command.output_multiplier),
                job.scale.shift.eq(command.output_shift),
            ]
        with m.Else():
            m.d.comb += [
                task.mode.eq(Mux(scores_only, DrainMode.SCORE16, DrainMode.SCORE)),
                destination.result.eq(ResultMode.WRITE),
                task.group.eq(place.low),
                job.blocks.eq(1),
                job.scale.multiplier.eq(command.score_multiplier),
                job.scale.shift.eq(command.score_shift),
            ]
        return m
