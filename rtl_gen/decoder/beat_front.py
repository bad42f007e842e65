# SPDX-License-Identifier: Apache-2.0
"""Counts a port's beats: those of one weight stream never mix with what follows it."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.tile import DECODE_JOB

__all__ = ["FRONT_JOB", "BeatFront"]

FRONT_JOB = data.StructLayout(
    {name: DECODE_JOB[name].shape for name in ("cache", "beats", "command")}
)
"""What the front needs of a DECODE_JOB."""


class BeatFront(wiring.Component):
    """Passes `beats` beats of each job, in order, and holds back what follows a weight stream until
    it is released.

    Members
    -------
    i_job: In stream of FRONT_JOB.
    i_beat: In stream of 128 bits.
    o_beat: Out stream of 128 bits, the same beats.
    exhausted: Out, all beats of the weight stream have passed.
    release: In pulse, while `exhausted`: go on behind it.
    checked: Out, the beat at o_beat is transferred and belongs to a weight stream.
    checked_first, checked_last: Out, with it, the first and the last of the stream.
    command: Out, index of the job's command.
    drop: In, no job is taken and beats are accepted and not passed on.

    Latency: 0, i_beat to o_beat is combinational behind registered gates; a job's first beat passes
    `latency` cycles after the job was taken. Throughput: one beat per cycle; what follows a cache
    job does so without a gap. A stream without beats is exhausted at once.
    """

    latency = 1

    def __init__(self) -> None:
        super().__init__(
            {
                "i_job": In(stream.Signature(FRONT_JOB)),
                "i_beat": In(stream.Signature(8 * BEAT_BYTES)),
                "o_beat": Out(stream.Signature(8 * BEAT_BYTES)),
                "exhausted": Out(1),
                "release": In(1),
                "checked": Out(1),
                "checked_first": Out(1),
                "checked_last": Out(1),
                "command": Out(INDEX_BITS),
                "drop": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        job, beat = self.i_job.payload, self.i_beat
        passing = Signal()
        weights = Signal(reset_less=True)
        first = Signal(reset_less=True)
        left = Signal(FRONT_JOB["beats"].shape, reset_less=True)
        command = payload_register(m, self.command, "command_register")
        transfer = Signal()
        final = Signal()
        free = Signal()
        m.d.comb += [
            self.o_beat.payload.eq(beat.payload),
            self.o_beat.valid.eq(beat.valid & passing & ~self.drop),
            beat.ready.eq((self.o_beat.ready & passing) | self.drop),
            transfer.eq(self.o_beat.valid & self.o_beat.ready),
            final.eq(transfer & (left == 1)),
            free.eq((~passing & ~self.exhausted) | (final & ~weights)),
            self.i_job.ready.eq(free & ~self.drop),
            self.checked.eq(transfer & weights),
            self.checked_first.eq(first),
            self.checked_last.eq(left == 1),
        ]
        with m.If(transfer):
            m.d.sync += [left.eq(left - 1), first.eq(0)]
        with m.If(final):
            m.d.sync += [passing.eq(0), self.exhausted.eq(weights)]
        with m.If(self.release):
            m.d.sync += self.exhausted.eq(0)
        with m.If(self.i_job.valid & self.i_job.ready):
            m.d.sync += [
                weights.eq(~job.cache),
                left.eq(job.beats),
                command.eq(job.command),
                first.eq(1),
                passing.eq(job.beats.any()),
                self.exhausted.eq(~job.cache & ~job.beats.any()),
            ]
        return m
