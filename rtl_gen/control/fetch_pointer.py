# SPDX-License-Identifier: Apache-2.0
"""Fetch pointer: hands the fetch parts of commands to the fetch unit, ahead of their execution."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode, Outputs
from rtl_gen.control.command_check import Verdict
from rtl_gen.control.command_reader import QUEUE_COMMANDS
from rtl_gen.control.entry import ENTRY, common_fields, holds_fetch, is_skipped, tagged
from rtl_gen.interfaces.command import COMMAND_BITS

__all__ = ["FetchPointer"]

_FETCHED = (Opcode.LOAD, Opcode.MATMUL, Opcode.ATTEND)


class FetchPointer(wiring.Component):
    """Commands in program order: LOAD, MATMUL and ATTEND to the fetch unit, the others pass.

    HOLD_FETCH: a command waits until every earlier STORE is in DRAM. No command with a fault
    passes, and none behind END.

    Members
    -------
    running: In, a program runs; while it is 0, everything is forgotten.
    outputs: In, register `outputs`, stable while running.
    i: In stream of ENTRY.
    o_command: Out stream of COMMAND_BITS, to the fetch unit.
    i_stored: In, pulse: the storer takes a STORE.
    storer_busy: In, from the cycle of that pulse on until its data is with the ports.
    writes_pending: In, a write is not answered yet.
    passed: Out(32), commands that have left the pointer.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "running": In(1),
                "outputs": In(len(Outputs)),
                "i": In(stream.Signature(ENTRY)),
                "o_command": Out(stream.Signature(COMMAND_BITS)),
                "i_stored": In(1),
                "storer_busy": In(1),
                "writes_pending": In(1),
                "passed": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entry = self.i.payload
        common = common_fields(entry)
        good = Signal()
        skips = Signal()
        wanted = Signal()
        released = Signal()  # registered: a unit's busy may depend on the valid offered to it
        held = Signal()
        finished = Signal()  # nothing beyond END is fetched
        # STOREs that the fetch pointer has passed but the storer has not taken; below 0 where
        # execution is ahead. It is not at a held command, so there 0 means that every earlier STORE
        # has been handed over.
        stores = Signal(range(-QUEUE_COMMANDS, QUEUE_COMMANDS + 1))
        storing = Signal()
        stored = Signal()  # every STORE so far is in DRAM
        with m.Switch(common.opcode):
            with m.Case(*(opcode.value for opcode in _FETCHED)):
                m.d.comb += wanted.eq(~skips)
        m.d.comb += [
            good.eq(self.i.valid & (entry.verdict == Verdict.GOOD) & ~finished),
            skips.eq(is_skipped(common, self.outputs)),
            held.eq(holds_fetch(common) & ~released),
            self.o_command.payload.eq(tagged(entry)),
            self.o_command.valid.eq(good & wanted & ~held),
            self.i.ready.eq(good & (~wanted | (~held & self.o_command.ready))),
            storing.eq(self.i.ready & ~skips & (common.opcode == Opcode.STORE.value)),
            # The storer is busy from the cycle of the hand-over on, so neither of the two can miss
            # a STORE.
            stored.eq((stores == 0) & ~self.storer_busy & ~self.writes_pending),
        ]
        m.d.sync += [
            stores.eq(stores + storing - self.i_stored),
            released.eq(good & ~self.i.ready & stored),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.passed.eq(self.passed + 1)
        with m.If(good & ~skips & (common.opcode == Opcode.END.value)):
            m.d.sync += finished.eq(1)
        with m.If(~self.running):
            m.d.sync += [finished.eq(0), self.passed.eq(0), stores.eq(0)]
        return m
