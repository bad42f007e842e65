# SPDX-License-Identifier: Apache-2.0
"""Execute pointer: hands commands to the units that execute them, when these may begin."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import UNIT_OF, Opcode, Outputs
from rtl_gen.control.command_check import Verdict
from rtl_gen.control.entry import ENTRY, common_fields, holds_fetch, is_skipped, tagged
from rtl_gen.interfaces.members import members
from rtl_gen.interfaces.units import HANDED_COMMAND, UNITS, UnitsSignature

__all__ = ["ExecutePointer"]


class ExecutePointer(wiring.Component):
    """Commands in program order to their units, once the units of `wait` are idle.

    A command whose condition is not met passes without effect and without waiting. HOLD_FETCH: a
    command waits until its fetch part has been handed over. No command with a fault passes.

    Members
    -------
    start: In, pulse: a program begins.
    running: In, it runs.
    program_length, outputs: In, registers, stable while running.
    i: In stream of ENTRY.
    o_unit: Out(UnitsSignature).
    unit_busy: In, Unit bits.
    writes_pending: In, a write is not answered yet.
    passed: In(32), commands that have left the fetch pointer.
    executed: Out(32), commands that have left this pointer, so the index of the next one.
    handed_command: Out(HANDED_COMMAND), from the cycle after the transfer on.
    ended: Out, END or the last command has left it.

    Throughput: one command every two cycles at most.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "running": In(1),
                "program_length": In(32),
                "outputs": In(len(Outputs)),
                "i": In(stream.Signature(ENTRY)),
                "o_unit": Out(UnitsSignature()),
                "unit_busy": In(len(UNITS)),
                "writes_pending": In(1),
                "passed": In(32),
                "executed": Out(32),
                "handed_command": Out(HANDED_COMMAND),
                "ended": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entry = self.i.payload
        common = common_fields(entry)
        ports = members(self.o_unit)
        skips = Signal()
        good = Signal()
        # Registered, so that one cycle passes after a hand-over for the unit's busy to be seen, and
        # because a unit's busy may depend on the valid offered to it. Only units that this pointer
        # starts could become busy meanwhile. What the command is stands in registers beside it.
        ready = Signal()
        finish = Signal()
        turn = Signal()
        # Later STOREs must not keep the storer busy while a fetch waits for it.
        held = holds_fetch(common) & (self.passed <= entry.index) & ~skips
        met = skips | ((common.wait & self.unit_busy) == 0)
        m.d.comb += [
            skips.eq(is_skipped(common, self.outputs)),
            good.eq(self.i.valid & (entry.verdict == Verdict.GOOD) & ~self.ended & self.running),
            turn.eq(good & ~held & ~finish & (ready | met)),
            self.i.ready.eq(finish),
        ]
        m.d.sync += ready.eq(turn)

        def turns(name: str, *opcodes: Opcode) -> Signal:
            """It is the turn of a command of one of these opcodes."""
            register = Signal(name=f"{name}_turn")
            is_one = Cat(common.opcode == opcode.value for opcode in opcodes).any()
            m.d.sync += register.eq(turn & ~skips & is_one)
            return register

        skipped = Signal()
        m.d.sync += skipped.eq(turn & skips)
        fence, end = turns("fence", Opcode.FENCE), turns("end", Opcode.END)
        leaves: list[Value] = [skipped, end, fence & ~self.writes_pending]
        for name, unit in UNITS.items():
            port = ports[name]
            own = (opcode for opcode, taker in UNIT_OF.items() if taker == unit)
            m.d.comb += [
                port.payload.eq(tagged(entry)),
                port.valid.eq(turns(name, *own) & self.running),
            ]
            leaves.append(port.valid & port.ready)
        for name in HANDED_COMMAND.members:
            with m.If(ports[name].valid & ports[name].ready):
                m.d.sync += self.handed_command[name].eq(self.executed)
        m.d.comb += finish.eq(Cat(*leaves).any() & self.running)
        with m.If(end & self.running):
            m.d.sync += self.ended.eq(1)
        with m.If(finish):
            m.d.sync += self.executed.eq(self.executed + 1)
            with m.If(self.executed + 1 == self.program_length):
                m.d.sync += self.ended.eq(1)
        with m.If(self.start):
            m.d.sync += [self.executed.eq(0), self.ended.eq(self.program_length == 0)]
        return m
