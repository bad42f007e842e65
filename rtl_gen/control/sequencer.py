# SPDX-License-Identifier: Apache-2.0
"""Sequencer: reads a program from DRAM and hands every command's two parts to the units, in program
order.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Outputs
from meadow.spec.config import AcceleratorConfig
from rtl_gen.control.command_reader import CommandReader
from rtl_gen.control.error_choice import ErrorChoice
from rtl_gen.control.execute_pointer import ExecutePointer
from rtl_gen.control.fetch_pointer import FetchPointer
from rtl_gen.control.watchdog import Watchdog
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS, NO_COMMAND
from rtl_gen.interfaces.dma import BEAT_BITS, READ_DESCRIPTOR
from rtl_gen.interfaces.error import error_layout, port_fault_layout
from rtl_gen.interfaces.units import HANDED_COMMAND, UNITS, UnitsSignature

__all__ = ["Sequencer"]


class _State(enum.Enum, shape=2):
    """Bit 1 says FLUSH, so that every unit is flushed and reset from a register."""

    IDLE = 0
    RUN = 1
    FLUSH = 2


class Sequencer(wiring.Component):
    """Executes `program_length` commands at most, from beat `program` of the DMA window on.

    Two pointers leave the commands of CommandReader in program order: the fetch pointer hands LOAD,
    MATMUL and ATTEND to the fetch unit as early as it takes them, the execute pointer hands
    commands to their units once the units of `wait` are idle. HOLD_FETCH: the fetch part waits
    until all earlier STOREs have been handed over, the storer is idle and writes are answered, the
    execute part until the fetch part has been handed over. A command whose condition is not met
    passes without effect and without waiting. Units get bits 8..31 of a command replaced by its
    index (`command_index`).

    No pointer passes a command with a fault (Verdict). When the execute pointer has come to it, and
    everything before it is done without an error, the program ends with COMMAND_CHECK or
    ILLEGAL_COMMAND; likewise with the error of a read of commands when it comes to the first one of
    the read. What lies behind END does not matter. ErrorChoice says which error is reported.

    Parameters
    ----------
    config: ports and the width of addresses.

    Members
    -------
    start: In, pulse, accepted when not busy.
    stop: In, pulse, abandons the program (soft reset).
    program, program_length, outputs, watchdog: In, registers, stable while busy.
    o_read: Out stream of READ_DESCRIPTOR on port 0, for commands.
    i_beat: In stream of beats without back-pressure, the commands read.
    o_fetch: Out stream of COMMAND_BITS, to the fetch unit.
    o_unit: Out(UnitsSignature), to the units that execute.
    unit_busy: In, Unit bits.
    fetch_busy: In, of fetch unit and decoders.
    writes_pending, ports_idle: In, of all ports.
    i_fault: In stream of port_fault_layout without back-pressure.
    i_outside: In, Unit bits of those whose access is beyond the end of a memory.
    i_outside_command: In(INDEX_BITS), the command of the array whose access is, as the array may
        work on several.
    progress: In, a beat, a word or a tile row moves, anywhere.
    o_error: Out stream of error_layout without back-pressure; an ACTIVATION error of a unit but the
        array is that of the last command handed to it, a WATCHDOG error that of the last command
        handed over.
    command_index: Out(32), commands handed to their units so far.
    turn_command: Out(INDEX_BITS), index of the command that is handed over next; NO_COMMAND while
        there is none.
    handed_command: Out(HANDED_COMMAND), from the cycle after the hand-over on.
    done: Out, pulse.
    busy: Out, level.
    flush: Out, ports discard until idle.
    unit_reset: Out, holds all units in reset.
    stuck: Out, level while flushing, from the time on when nothing has moved for `watchdog` cycles.

    Latency: `error_latency` cycles from i_fault to o_error, one more to flush. Throughput: one
    command every two cycles at most. `settle_cycles` between the last activity and `done` let an
    accepted command show in its unit's busy and an error come out of the units. After an error or
    stop the ports finish their bursts, then the sequencer is ready for the next start.
    """

    settle_cycles = 8
    error_latency = ErrorChoice.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "program": In(32),
                "program_length": In(32),
                "outputs": In(len(Outputs)),
                "watchdog": In(32),
                "o_read": Out(stream.Signature(READ_DESCRIPTOR)),
                "i_beat": In(stream.Signature(BEAT_BITS, always_ready=True)),
                "o_fetch": Out(stream.Signature(COMMAND_BITS)),
                "o_unit": Out(UnitsSignature()),
                "unit_busy": In(len(UNITS)),
                "fetch_busy": In(1),
                "writes_pending": In(1),
                "ports_idle": In(1),
                "i_fault": In(stream.Signature(port_fault_layout(config), always_ready=True)),
                "i_outside": In(len(UNITS)),
                "i_outside_command": In(INDEX_BITS),
                "progress": In(1),
                "o_error": Out(stream.Signature(error_layout(config), always_ready=True)),
                "command_index": Out(32),
                "turn_command": Out(INDEX_BITS),
                "handed_command": Out(HANDED_COMMAND),
                "done": Out(1),
                "busy": Out(1),
                "flush": Out(1),
                "unit_reset": Out(1),
                "stuck": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(_State)
        flushing = Value.cast(state)[1]
        running = Signal()
        m.submodules.reader = reader = CommandReader(config=self.config)
        m.submodules.fetch = fetch = FetchPointer()
        m.submodules.execute = execute = ExecutePointer()
        m.submodules.errors = errors = ErrorChoice(config=self.config)
        m.submodules.watchdog = watchdog = Watchdog()

        wiring.connect(m, reader.o_read, wiring.flipped(self.o_read))
        wiring.connect(m, wiring.flipped(self.i_beat), reader.i_beat)
        wiring.connect(m, reader.o_fetch, fetch.i)
        wiring.connect(m, reader.o_execute, execute.i)
        wiring.connect(m, fetch.o_command, wiring.flipped(self.o_fetch))
        wiring.connect(m, execute.o_unit, wiring.flipped(self.o_unit))
        wiring.connect(m, wiring.flipped(self.i_fault), errors.i_fault)
        wiring.connect(m, errors.o_read_fault, reader.i_fault)
        wiring.connect(m, errors.o_error, wiring.flipped(self.o_error))

        storer = list(UNITS).index("storer")
        stores = execute.o_unit.storer
        m.d.comb += [
            running.eq(state == _State.RUN),
            self.busy.eq(state != _State.IDLE),
            self.flush.eq(flushing),
            self.unit_reset.eq(flushing),
            self.command_index.eq(execute.executed),
            self.turn_command.eq(
                Mux(running & ~execute.ended, execute.executed[:INDEX_BITS], NO_COMMAND)
            ),
            self.handed_command.eq(execute.handed_command),
            reader.active.eq(running),
            reader.program.eq(self.program),
            reader.program_length.eq(self.program_length),
            reader.passed.eq(fetch.passed),
            reader.executed.eq(execute.executed),
            fetch.running.eq(running),
            fetch.outputs.eq(self.outputs),
            fetch.i_stored.eq(stores.valid & stores.ready),
            fetch.storer_busy.eq(self.unit_busy[storer]),
            fetch.writes_pending.eq(self.writes_pending),
            execute.start.eq((state == _State.IDLE) & self.start),
            execute.running.eq(running),
            execute.program_length.eq(self.program_length),
            execute.outputs.eq(self.outputs),
            execute.unit_busy.eq(self.unit_busy),
            execute.writes_pending.eq(self.writes_pending),
            execute.passed.eq(fetch.passed),
            errors.running.eq(running),
            errors.executed.eq(execute.executed),
            errors.i_outside.eq(self.i_outside),
            errors.i_outside_command.eq(self.i_outside_command),
            errors.i_handed_command.eq(execute.handed_command),
            errors.i_command.valid.eq(reader.o_execute.valid),
            errors.i_command.payload.eq(reader.o_execute.payload.verdict),
            errors.expired.eq(watchdog.expired),
        ]
        handed = Cat(port.valid & port.ready for port in (reader.o_fetch, reader.o_execute)).any()
        self._watch(m, watchdog, state, handed | (reader.o_read.valid & reader.o_read.ready))

        settle = Signal(range(self.settle_cycles))
        settled = Signal()  # everything that has been handed over is done
        quiet = (self.unit_busy == 0) & ~self.fetch_busy & ~self.writes_pending & self.ports_idle
        m.d.comb += [
            settled.eq(settle == self.settle_cycles - 1),
            errors.turn.eq(settled & ~execute.ended),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += settle.eq(0)
                with m.If(self.start):
                    m.d.sync += state.eq(_State.RUN)
            with m.Case(_State.RUN):
                with m.If(quiet & ~handed):
                    m.d.sync += settle.eq(settle + ~settled)
                with m.Else():
                    m.d.sync += settle.eq(0)
                with m.If(execute.ended & settled):
                    m.d.comb += self.done.eq(~errors.o_error.valid)
                    m.d.sync += [state.eq(_State.IDLE), settle.eq(0)]
                with m.If(errors.o_error.valid | self.stop):
                    m.d.sync += [state.eq(_State.FLUSH), settle.eq(0)]
            with m.Case(_State.FLUSH):
                m.d.sync += settle.eq(settle + ~settled)
                with m.If(settled & self.ports_idle):
                    m.d.sync += [state.eq(_State.IDLE), settle.eq(0)]
        return m

    def _watch(self, m: Module, watchdog: Watchdog, state: Signal, handed: Value) -> None:
        """`expired` if the program has hung, `stuck` if its end has."""
        before = Signal(_State)
        m.d.sync += before.eq(state)
        m.d.comb += [
            watchdog.limit.eq(self.watchdog),
            watchdog.enable.eq(self.busy & (before == state)),
            watchdog.progress.eq(self.progress | handed),
        ]
        with m.If(state != _State.FLUSH):
            m.d.sync += self.stuck.eq(0)
        with m.Elif(watchdog.expired & (before == state)):
            m.d.sync += self.stuck.eq(1)
