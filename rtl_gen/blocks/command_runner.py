# SPDX-License-Identifier: Apache-2.0
"""Taking commands one at a time, for units that start, run and finish."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS, command_index, command_layout

__all__ = ["CommandRunner"]


class CommandRunner(wiring.Component):
    """Takes a command, holds it, starts its unit, and takes the next one when the unit is done.

    Parameters
    ----------
    opcode: of the commands.
    prepare_cycles: cycles before the start in which `command` is held already, so that the unit can
        derive something from it, 0 or more.

    Members
    -------
    i_command: In stream of COMMAND_BITS.
    o_command: Out(command_layout(opcode)), held from the cycle after the transfer until the unit is
        done.
    o_prepare: Out(1), pulse in the first cycle of `o_command`.
    o_start: Out(1), pulse `prepare_cycles` cycles later.
    i_finished: In(1), the unit is done; looked at from the cycle after `o_start` on.
    o_busy: Out(1), from the cycle a command is offered until the unit is done.
    o_busy_command: Out(INDEX_BITS), with `o_busy`, index of the command.

    Latency: LATENCY cycle from the transfer to `o_prepare`. Throughput: a command in
    prepare_cycles + 3 cycles at most.
    """

    LATENCY = 1

    def __init__(self, *, opcode: Opcode, prepare_cycles: int) -> None:
        self._layout = command_layout(opcode)
        self._prepare_cycles = prepare_cycles
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "o_command": Out(self._layout),
                "o_prepare": Out(1),
                "o_start": Out(1),
                "i_finished": In(1),
                "o_busy": Out(1),
                "o_busy_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start = self._prepare_cycles + 1
        # Cycles since the transfer: 0 while idle, `start` + 1 while the unit runs.
        cycle = Signal(range(start + 2))
        command = Signal(self._layout, reset_less=True)
        offered = self.i_command.payload
        idle = cycle == 0
        with m.If(idle):
            m.d.sync += [command.as_value().eq(offered), cycle.eq(self.i_command.valid)]
        with m.Elif(cycle <= start):
            m.d.sync += cycle.eq(cycle + 1)
        with m.Elif(self.i_finished):
            m.d.sync += cycle.eq(0)
        m.d.comb += [
            self.i_command.ready.eq(idle),
            self.o_command.eq(command),
            self.o_prepare.eq(cycle == 1),
            self.o_start.eq(cycle == start),
            self.o_busy.eq(self.i_command.valid | ~idle),
            self.o_busy_command.eq(
                Mux(idle, command_index(offered), command_index(command.as_value()))
            ),
        ]
        return m
