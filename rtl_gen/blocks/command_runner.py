# SPDX-License-Identifier: Apache-2.0
"""Taking commands one at a time, for units that start, run and finish."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data

from meadow.spec.commands import Opcode
from rtl_gen.interfaces.command import command_layout

__all__ = ["CommandRunner"]


class CommandRunner:
    """Takes a command, holds it, starts its unit, and takes the next one when the unit is done.

    It is part of the unit's own module `m` and no module of its own, so that fields of the command
    that the unit does not look at cost no register.

    Parameters
    ----------
    m: module of the unit.
    commands: stream of COMMAND_BITS that the unit takes.
    opcode: of the commands.
    prepare_cycles: cycles before the start in which `command` is held already, so that the unit can
        derive something from it, 0 or more.

    Members
    -------
    command: the command as command_layout(opcode), held from the cycle after the transfer until the
        unit is done.
    idle: no command is held. A register that the unit loads from `offered` in such cycles only
        holds what belongs to `command`, from the same cycle on.
    offered: the payload of `commands` as command_layout(opcode).
    prepare: pulse in the first cycle of `command`.
    start: pulse `prepare_cycles` cycles later.
    finished: to be driven by the unit: it is done; looked at from the cycle after `start` on.
    busy: 1 from the cycle a command is offered until the unit is done.

    Latency: LATENCY cycle from the transfer to `prepare`. Throughput: a command in
    prepare_cycles + 3 cycles at most.
    """

    LATENCY = 1

    def __init__(self, m: Module, commands: Any, *, opcode: Opcode, prepare_cycles: int) -> None:
        start = prepare_cycles + 1
        # Cycles since the transfer: 0 while idle, `start` + 1 while the unit runs.
        cycle = Signal(range(start + 2), name="command_cycle")
        self.command = Signal(command_layout(opcode), name="command", reset_less=True)
        self.finished = Signal(name="command_finished")
        self.idle = idle = cycle == 0
        layout = command_layout(opcode)
        self.offered = data.View(layout, commands.payload[: layout.size])
        with m.If(idle):
            m.d.sync += [self.command.as_value().eq(commands.payload), cycle.eq(commands.valid)]
        with m.Elif(cycle <= start):
            m.d.sync += cycle.eq(cycle + 1)
        with m.Elif(self.finished):
            m.d.sync += cycle.eq(0)
        m.d.comb += commands.ready.eq(idle)
        self.prepare = cycle == 1
        self.start = cycle == start
        self.busy = commands.valid | ~idle
