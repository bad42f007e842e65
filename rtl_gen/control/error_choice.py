# SPDX-License-Identifier: Apache-2.0
"""Which error ends a program: the first one, and of several in a cycle the most telling."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.registers import ErrorCode
from rtl_gen.control.command_check import Verdict
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.error import error_layout, port_fault_layout
from rtl_gen.interfaces.units import HANDED_COMMAND, UNITS

__all__ = ["ErrorChoice"]


class ErrorChoice(wiring.Component):
    """Errors of ports and decoders, of units, of commands, of the watchdog; the order of these is
    that of their precedence.

    A read of commands that fails is an error when it is the turn of the first command of that read,
    and a command with a fault when it is its own turn: errors of earlier commands come first, and
    what lies behind END does not matter.

    Parameters
    ----------
    config: ports and the width of addresses.

    Members
    -------
    running: In, a program runs; nothing is an error otherwise.
    executed: In(32), commands that have left the execute pointer, so the index of the command whose
        turn it is.
    turn: In, everything before that command is done, and it is not behind END.
    i_fault: In stream of port_fault_layout without back-pressure.
    i_outside: In, Unit bits of those that accessed a word beyond the end of a memory.
    i_outside_command: In(INDEX_BITS), the command of the array that did, which may work on several.
    i_handed_command: In(HANDED_COMMAND), the command of another unit.
    i_command: In stream of Verdict without back-pressure: of the command whose turn is next.
    expired: In, the program hangs: WATCHDOG of the last command handed over.
    o_read_fault: Out stream of a command's index without back-pressure: a read of commands has
        failed, of which this is the first one.
    o_error: Out stream of error_layout without back-pressure.

    Latency: LATENCY cycle from i_fault to o_error and to o_read_fault, else none.
    """

    LATENCY = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "running": In(1),
                "executed": In(32),
                "turn": In(1),
                "i_fault": In(stream.Signature(port_fault_layout(config), always_ready=True)),
                "i_outside": In(len(UNITS)),
                "i_outside_command": In(INDEX_BITS),
                "i_handed_command": In(HANDED_COMMAND),
                "i_command": In(stream.Signature(Verdict, always_ready=True)),
                "expired": In(1),
                "o_read_fault": Out(stream.Signature(INDEX_BITS, always_ready=True)),
                "o_error": Out(stream.Signature(error_layout(config), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        seen = Signal(port_fault_layout(self._config), reset_less=True)
        seen_valid = Signal()
        m.d.sync += [
            seen.eq(self.i_fault.payload),
            seen_valid.eq(self.i_fault.valid & self.running),
        ]
        of_commands = Signal()
        m.d.comb += [
            of_commands.eq(seen_valid & seen.fault.of_commands),
            self.o_read_fault.valid.eq(of_commands),
            self.o_read_fault.payload.eq(seen.fault.command),
        ]
        held = Signal(seen.shape(), reset_less=True)
        held_valid = Signal()
        reached = Signal()
        m.d.sync += reached.eq(held_valid & (self.executed[:INDEX_BITS] >= held.fault.command))
        with m.If(~self.running):
            m.d.sync += [held_valid.eq(0), reached.eq(0)]
        with m.Elif(of_commands & ~held_valid):
            m.d.sync += [held_valid.eq(1), held.eq(seen)]

        outside: Value = self.i_outside_command
        for bit, name in reversed(list(enumerate(UNITS))):
            alone = name in HANDED_COMMAND.members
            command = self.i_handed_command[name] if alone else self.i_outside_command
            outside = Mux(self.i_outside[bit], command, outside)

        error = self.o_error.payload
        verdict = self.i_command.payload
        wrong = self.i_command.valid & ((verdict == Verdict.CHECK) | (verdict == Verdict.ILLEGAL))
        m.d.comb += self.o_error.valid.eq(self.running)
        with m.If(seen_valid & ~of_commands):
            m.d.comb += _report(error, seen)
        with m.Elif(self.i_outside.any()):
            m.d.comb += [error.code.eq(ErrorCode.ACTIVATION), error.command.eq(outside)]
        with m.Elif(reached & self.turn):
            m.d.comb += _report(error, held)
        with m.Elif(wrong & self.turn):
            m.d.comb += error.command.eq(self.executed)
            with m.If(verdict == Verdict.CHECK):
                m.d.comb += error.code.eq(ErrorCode.COMMAND_CHECK)
            with m.Else():
                m.d.comb += error.code.eq(ErrorCode.ILLEGAL_COMMAND)
        with m.Elif(self.expired):
            m.d.comb += [
                error.code.eq(ErrorCode.WATCHDOG),
                error.command.eq(Mux(self.executed == 0, 0, self.executed - 1)),
            ]
        with m.Else():
            m.d.comb += self.o_error.valid.eq(0)
        return m


def _report(error: data.View, seen: data.View) -> list:
    """The fault of a port or decoder as the program's error."""
    return [
        error.code.eq(seen.fault.code),
        error.command.eq(seen.fault.command),
        error.address.eq(seen.fault.address),
        error.port.eq(seen.port),
    ]
