# SPDX-License-Identifier: Apache-2.0
"""Command reader: reads a program ahead of its execution, and what is wrong with each command."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.commands import COMMAND_BYTES, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.queue import Queue
from rtl_gen.control.command_check import CommandCheck, Verdict
from rtl_gen.control.entry import ENTRY
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS
from rtl_gen.interfaces.dma import BEAT_BITS, OFFSET_BITS, READ_DESCRIPTOR, Route

__all__ = ["QUEUE_COMMANDS", "CommandReader"]

QUEUE_COMMANDS = 8
"""Commands read ahead of execution."""

_COMMAND_BEATS = COMMAND_BYTES // BEAT_BYTES
_GROUP = 4
"""Commands of a read."""


class CommandReader(wiring.Component):
    """Commands 0, 1, .. of `program_length` from beat `program` on, four with a read, to two
    streams in program order.

    Parameters
    ----------
    config: the configuration.

    Members
    -------
    active: In, a program runs; while it is 0, everything is forgotten.
    program, program_length: In, stable while active.
    o_read: Out stream of READ_DESCRIPTOR on port 0.
    i_beat: In stream of beats without back-pressure: places are reserved before reading.
    o_fetch, o_execute: Out streams of ENTRY, each with a queue of QUEUE_COMMANDS.
    passed, executed: In, commands that have left them.
    i_fault: In stream of a command's index without back-pressure: READ_RESPONSE or WINDOW of a read
        of commands, of which this is the first one. From there on nothing is read any more, and
        every command is UNREAD. It comes before the beats of the read that it is about.

    Latency: `latency` cycles from the last beat of a command to its being in the queues.
        Throughput: a command in 4 cycles.
    """

    latency = CommandCheck.latency

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "active": In(1),
                "program": In(32),
                "program_length": In(32),
                "o_read": Out(stream.Signature(READ_DESCRIPTOR)),
                "i_beat": In(stream.Signature(BEAT_BITS, always_ready=True)),
                "o_fetch": Out(stream.Signature(ENTRY)),
                "o_execute": Out(stream.Signature(ENTRY)),
                "passed": In(32),
                "executed": In(32),
                "i_fault": In(stream.Signature(INDEX_BITS, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        failed = Signal()
        first_failed = Signal(INDEX_BITS, reset_less=True)
        with m.If(~self.active):
            m.d.sync += failed.eq(0)
        with m.Elif(self.i_fault.valid & ~failed):
            m.d.sync += [failed.eq(1), first_failed.eq(self.i_fault.payload)]
        self._request(m, failed)
        self._receive(m, failed, first_failed)
        return m

    def _request(self, m: Module, failed: Signal) -> None:
        """Ask for commands while there are places for them in both queues."""
        requested = Signal(32)
        left = Signal(32)
        group = Signal(range(_GROUP + 1), reset_less=True)
        pending = Signal()
        place = Signal(OFFSET_BITS + 3, reset_less=True)  # beats from the window base
        most = QUEUE_COMMANDS - _GROUP  # that may be held or asked for before a group is
        read = self.o_read.payload
        m.d.comb += [
            left.eq(self.program_length - requested),
            self.o_read.valid.eq(pending),
            read.offset.eq(place),
            # What a descriptor cannot name is one of 0 beats, an error.
            read.beats.eq(Mux(place[OFFSET_BITS:].any(), 0, group * _COMMAND_BEATS)),
            read.route.eq(Route.COMMAND),
            read.traffic.eq(TrafficClass.COMMANDS.value),
            read.command.eq(requested),
        ]
        with m.If(~pending):
            m.d.sync += [
                pending.eq(
                    (left != 0)
                    & ~failed
                    & (requested - self.executed <= most)
                    & (requested - self.passed <= most)
                ),
                place.eq(self.program + _COMMAND_BEATS * requested),
                group.eq(Mux(left < _GROUP, left, _GROUP)),
            ]
        with m.Elif(self.o_read.ready):
            m.d.sync += [pending.eq(0), requested.eq(requested + group)]
        with m.If(~self.active):
            m.d.sync += [requested.eq(0), pending.eq(0)]

    def _receive(self, m: Module, failed: Signal, first_failed: Signal) -> None:
        """Assemble beats to commands, check them, fill both queues."""
        m.submodules.check = check = CommandCheck(config=self.config)
        received = Signal(32)
        count = Signal(range(_COMMAND_BEATS))
        beats = Signal(BEAT_BITS * (_COMMAND_BEATS - 1), reset_less=True)
        command = Signal(COMMAND_BITS, reset_less=True)
        index = Signal(32, reset_less=True)
        complete = Signal()
        m.d.comb += [
            complete.eq(self.i_beat.valid & (count == _COMMAND_BEATS - 1)),
            check.i_beat.valid.eq(self.i_beat.valid),
            check.i_beat.payload.first.eq(count == 0),
            check.i_beat.payload.data.eq(self.i_beat.payload),
            check.command.eq(command),
        ]
        with m.If(self.i_beat.valid):
            m.d.sync += [count.eq(count + 1), beats.eq(Cat(beats, self.i_beat.payload)[BEAT_BITS:])]
        # It stays for four cycles, since the next one is not complete before.
        with m.If(complete):
            m.d.sync += [
                command.eq(Cat(beats, self.i_beat.payload)),
                index.eq(received),
                received.eq(received + 1),
            ]
        unread = Signal()
        m.d.sync += unread.eq(failed & (index[:INDEX_BITS] >= first_failed))
        entry = Signal(ENTRY)
        m.d.comb += [
            entry.command.eq(command),
            entry.index.eq(index),
            entry.verdict.eq(Mux(unread, Verdict.UNREAD, check.verdict)),
        ]
        clear = Signal()
        m.d.comb += clear.eq(~self.active)
        checked = Signal(self.latency)
        m.d.sync += checked.eq(Cat(complete, checked))
        for name, output in (("fetch", self.o_fetch), ("execute", self.o_execute)):
            m.submodules[f"{name}_queue"] = queue = ResetInserter(clear)(
                Queue(shape=ENTRY, depth=QUEUE_COMMANDS)
            )
            m.d.comb += [queue.i.payload.eq(entry), queue.i.valid.eq(checked[-1])]
            connect(m, queue.o, flipped(output))
        with m.If(~self.active):
            m.d.sync += [received.eq(0), count.eq(0), checked.eq(0)]
