# SPDX-License-Identifier: Apache-2.0
"""Sequencer: reads a program from DRAM and hands every command's two parts to the units, in program
order.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import COMMON_FIELDS, UNIT_OF, Flag, Opcode, Outputs, Unit
from meadow.spec.config import AcceleratorConfig
from meadow.spec.registers import ErrorCode
from rtl_gen.control.command_check import Verdict
from rtl_gen.control.command_reader import QUEUE_COMMANDS, CommandReader
from rtl_gen.control.watchdog import Watchdog
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS, NO_COMMAND
from rtl_gen.interfaces.dma import READ_DESCRIPTOR
from rtl_gen.interfaces.error import error_layout

__all__ = ["Sequencer", "fault_candidate_layout"]

_COMMON = data.StructLayout({field.name: field.bits for field in COMMON_FIELDS})
_TAG_START = COMMON_FIELDS[0].bits
_UNITS = (Unit.ARRAY, Unit.VECTOR, Unit.LOADER, Unit.STORER)
"""By their bits."""
_NAMES = {unit: (unit.name or "").lower() for unit in _UNITS}
_FETCHED = (Opcode.LOAD, Opcode.MATMUL, Opcode.ATTEND)
_FAULT_FIELDS = ("code", "command", "address", "port")


def fault_candidate_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A fault of a port or a decoder: ErrorCode, index of its command, byte address and AXI port of
    the access.

    of_commands: it is one of a read of commands, from `command` on.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "code": 4,
            "command": INDEX_BITS,
            "address": config.address_bits,
            "port": range(max(2, config.ports)),
            "of_commands": 1,
        }
    )


class _State(enum.Enum, shape=2):
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
    the read. What lies behind END does not matter.

    Parameter: config. Members
    -------
    start: pulse, accepted when not busy. stop: pulse, abandons the program (soft reset).
    program, program_length, outputs, watchdog: registers, stable while busy.
    o_read/i_beat: descriptors and beats of commands on port 0.
    o_fetch, o_array, o_vector, o_loader, o_storer: COMMAND_BITS streams.
    unit_busy: Unit bits; fetch_busy: of fetch unit and decoders; writes_pending, ports_idle: of all
        ports.
    i_error: fault_candidate_layout. i_outside: Unit bits of those that named a word beyond a
        memory; i_outside_command: the command of the array that did, which may work on several.
    progress: a beat, a word or a tile row moves, anywhere.
    o_error: pulse with the error and the index of the command that caused it; an ACTIVATION error
        of a unit but the array is that of the last command handed to it, a WATCHDOG error that of
        the last command handed over.
    turn_command: index of the command that is handed over next; NO_COMMAND while there is none.
    done: pulse. busy: level. flush: ports discard until idle. unit_reset: holds all units in reset.
    stuck: level while flushing, from the time on when nothing has moved for `watchdog` cycles.

    Latency: `error_latency` cycles from i_error to o_error, one more to flush. Of errors that would
    be reported in one cycle the order is i_error, i_outside (lowest unit), commands, WATCHDOG.
    Throughput: one command every two cycles at most. `settle_cycles` between the last activity and
    `done` let an accepted command show in its unit's busy and an error come out of the units.
    After an error or stop the ports finish their bursts, then the sequencer is ready for the next
    start.
    """

    settle_cycles = 8
    error_latency = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        command = stream.Signature(COMMAND_BITS)
        fault = fault_candidate_layout(config)
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "program": In(32),
                "program_length": In(32),
                "outputs": In(len(Outputs)),
                "watchdog": In(32),
                "o_read": Out(stream.Signature(READ_DESCRIPTOR)),
                "i_beat": In(stream.Signature(128)),
                "o_fetch": Out(command),
                **{f"o_{name}": Out(command) for name in _NAMES.values()},
                "unit_busy": In(len(_UNITS)),
                "fetch_busy": In(1),
                "writes_pending": In(1),
                "ports_idle": In(1),
                "i_error": In(fault),
                "i_outside": In(len(_UNITS)),
                "i_outside_command": In(INDEX_BITS),
                "progress": In(1),
                "o_error": Out(error_layout(config)),
                "command_index": Out(32),
                "turn_command": Out(INDEX_BITS),
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
        self._units = {unit: getattr(self, f"o_{name}") for unit, name in _NAMES.items()}
        self._running = Signal()
        self._executed = Signal(32)  # commands that left the execute pointer
        self._passed = Signal(32)  # commands that left the fetch pointer
        self._ended = Signal()  # END or the last command has been executed
        m.submodules.reader = self._reader = reader = CommandReader(config=self.config)
        m.d.comb += [
            self._running.eq(state == _State.RUN),
            self.busy.eq(state != _State.IDLE),
            self.flush.eq(state == _State.FLUSH),
            self.unit_reset.eq(state == _State.FLUSH),
            self.command_index.eq(self._executed),
            self.turn_command.eq(
                Mux(self._running & ~self._ended, self._executed[:INDEX_BITS], NO_COMMAND)
            ),
            reader.active.eq(self._running),
            reader.program.eq(self.program),
            reader.program_length.eq(self.program_length),
            reader.passed.eq(self._passed),
            reader.executed.eq(self._executed),
        ]
        wiring.connect(m, reader.o_read, wiring.flipped(self.o_read))
        wiring.connect(m, wiring.flipped(self.i_beat), reader.i_beat)
        self._fetch_pointer(m)
        self._execute_pointer(m)
        expired = self._watch(m, state)

        settle = Signal(range(self.settle_cycles))
        settled = Signal()  # everything that has been handed over is done
        failure = self._errors(m, settled, expired)
        quiet = (self.unit_busy == 0) & ~self.fetch_busy & ~self.writes_pending & self.ports_idle
        moves = (self._reader.o_fetch.valid & self._reader.o_fetch.ready) | (
            self._reader.o_execute.valid & self._reader.o_execute.ready
        )
        m.d.comb += settled.eq(settle == self.settle_cycles - 1)
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += settle.eq(0)
                with m.If(self.start):
                    m.d.sync += [
                        state.eq(_State.RUN),
                        self._executed.eq(0),
                        self._ended.eq(self.program_length == 0),
                    ]
            with m.Case(_State.RUN):
                with m.If(quiet & ~moves):
                    m.d.sync += settle.eq(settle + ~settled)
                with m.Else():
                    m.d.sync += settle.eq(0)
                with m.If(self._ended & settled):
                    m.d.comb += self.done.eq(~failure)
                    m.d.sync += [state.eq(_State.IDLE), settle.eq(0)]
                with m.If(failure | self.stop):
                    m.d.sync += [state.eq(_State.FLUSH), settle.eq(0)]
            with m.Case(_State.FLUSH):
                m.d.sync += settle.eq(settle + ~settled)
                with m.If(settled & self.ports_idle):
                    m.d.sync += [state.eq(_State.IDLE), settle.eq(0)]
        return m

    def _watch(self, m: Module, state: Signal) -> Signal:
        """Whether the program has hung; `stuck` if its end has."""
        m.submodules.watchdog = watchdog = Watchdog()
        before = Signal(_State)
        m.d.sync += before.eq(state)
        handed = [
            port.valid & port.ready
            for port in (self._reader.o_fetch, self._reader.o_execute, self.o_read)
        ]
        m.d.comb += [
            watchdog.limit.eq(self.watchdog),
            watchdog.enable.eq(self.busy & (before == state)),
            watchdog.progress.eq(self.progress | Cat(*handed).any()),
        ]
        with m.If(state != _State.FLUSH):
            m.d.sync += self.stuck.eq(0)
        with m.Elif(watchdog.expired & (before == state)):
            m.d.sync += self.stuck.eq(1)
        return watchdog.expired

    def _errors(self, m: Module, settled: Signal, expired: Signal) -> Signal:
        """The first error, if there is one; a read of commands that fails is not one before it is
        their turn.
        """
        fault = Signal.like(self.i_error)
        error = self.o_error
        m.d.sync += [fault.eq(self.i_error), fault.valid.eq(self.i_error.valid & self._running)]
        at_command = Signal()
        m.d.comb += [
            at_command.eq(fault.valid & fault.of_commands),
            self._reader.fault.eq(at_command),
            self._reader.fault_command.eq(fault.command),
        ]
        held = Signal.like(self.i_error)
        reached = Signal()
        m.d.sync += reached.eq(held.valid & (self._executed[:INDEX_BITS] >= held.command))
        with m.If(~self._running):
            m.d.sync += [held.valid.eq(0), reached.eq(0)]
        with m.Elif(at_command & ~held.valid):
            m.d.sync += held.eq(fault)

        # A command executes when all before it have left the pointer, so `_executed` is the index
        # of what is handed over.
        outside: Value = self.i_outside_command
        for bit, (unit, port) in reversed(list(enumerate(self._units.items()))):
            if unit == Unit.ARRAY:
                last = self.i_outside_command
            else:
                last = Signal(INDEX_BITS, name=f"last_{bit}")
                with m.If(port.valid & port.ready):
                    m.d.sync += last.eq(self._executed)
            outside = Mux(self.i_outside[bit], last, outside)

        verdict = self._reader.o_execute.payload.verdict
        wrong = self._reader.o_execute.valid & (
            (verdict == Verdict.CHECK) | (verdict == Verdict.ILLEGAL)
        )
        turn = settled & ~self._ended  # of the command that comes next
        failure = Signal()
        m.d.comb += [failure.eq(self._running), error.valid.eq(failure)]
        with m.If(fault.valid & ~at_command):
            m.d.comb += [_set(error, fault, name) for name in _FAULT_FIELDS]
        with m.Elif(self.i_outside.any()):
            m.d.comb += [error.code.eq(ErrorCode.ACTIVATION), error.command.eq(outside)]
        with m.Elif(reached & turn):
            m.d.comb += [_set(error, held, name) for name in _FAULT_FIELDS]
        with m.Elif(wrong & turn):
            m.d.comb += error.command.eq(self._executed)
            with m.If(verdict == Verdict.CHECK):
                m.d.comb += error.code.eq(ErrorCode.COMMAND_CHECK)
            with m.Else():
                m.d.comb += error.code.eq(ErrorCode.ILLEGAL_COMMAND)
        with m.Elif(expired):
            m.d.comb += [
                error.code.eq(ErrorCode.WATCHDOG),
                error.command.eq(Mux(self._executed == 0, 0, self._executed - 1)),
            ]
        with m.Else():
            m.d.comb += failure.eq(0)
        return failure

    def _skips(self, common: data.View) -> Value:
        """1 if the command's condition is not met."""
        return (common.condition != 0) & ((common.condition & self.outputs) == 0)

    @staticmethod
    def _tagged(entry: data.View) -> Value:
        """The command with its index in place of what the sequencer has dealt with."""
        index = entry.index[:INDEX_BITS]
        return Cat(entry.command[:_TAG_START], index, entry.command[_TAG_START + INDEX_BITS :])

    def _fetch_pointer(self, m: Module) -> None:
        queue = self._reader.o_fetch
        entry = queue.payload
        common = data.View(_COMMON, entry.command[: _COMMON.size])
        good = Signal(name="fetch_good")
        skips = Signal(name="fetch_skips")
        wanted = Signal()
        released = Signal()  # registered: a unit's busy may depend on the valid offered to it
        held = Signal(name="fetch_held")
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
            good.eq(queue.valid & (entry.verdict == Verdict.GOOD) & ~finished),
            skips.eq(self._skips(common)),
            held.eq((common.flags & Flag.HOLD_FETCH.value).any() & ~released),
            self.o_fetch.payload.eq(self._tagged(entry)),
            self.o_fetch.valid.eq(good & wanted & ~held),
            queue.ready.eq(good & (~wanted | (~held & self.o_fetch.ready))),
        ]
        storer_busy = (self.unit_busy & Unit.STORER.value).any()
        m.d.comb += [
            storing.eq(queue.ready & ~skips & (common.opcode == Opcode.STORE.value)),
            # The storer is busy from the cycle of the hand-over on, so neither of the two can miss
            # a STORE.
            stored.eq((stores == 0) & ~storer_busy & ~self.writes_pending),
        ]
        m.d.sync += [
            stores.eq(stores + storing - (self.o_storer.valid & self.o_storer.ready)),
            released.eq(good & ~queue.ready & stored),
        ]
        with m.If(queue.ready):
            m.d.sync += self._passed.eq(self._passed + 1)
        with m.If(good & ~skips & (common.opcode == Opcode.END.value)):
            m.d.sync += finished.eq(1)
        with m.If(~self._running):
            m.d.sync += [finished.eq(0), self._passed.eq(0), stores.eq(0)]

    def _execute_pointer(self, m: Module) -> None:
        queue = self._reader.o_execute
        entry = queue.payload
        common = data.View(_COMMON, entry.command[: _COMMON.size])
        skips = Signal(name="execute_skips")
        good = Signal(name="execute_good")
        # Registered, so that one cycle passes after a hand-over for the unit's busy to be seen, and
        # because a unit's busy may depend on the valid offered to it. Only units that this pointer
        # starts could become busy meanwhile.
        ready = Signal()
        finish = Signal()
        # Later STOREs must not keep the storer busy while a fetch waits for it.
        held = (common.flags & Flag.HOLD_FETCH.value).any() & (self._passed <= entry.index) & ~skips
        met = skips | ((common.wait & self.unit_busy) == 0)
        m.d.comb += [
            skips.eq(self._skips(common)),
            good.eq(queue.valid & (entry.verdict == Verdict.GOOD) & ~self._ended & self._running),
            queue.ready.eq(finish),
        ]
        m.d.sync += ready.eq(good & ~held & ~finish & (ready | met))
        for port in self._units.values():
            m.d.comb += port.payload.eq(self._tagged(entry))
        with m.If(ready & good):
            with m.If(skips):
                m.d.comb += finish.eq(1)
            with m.Else(), m.Switch(common.opcode):
                for opcode, unit in UNIT_OF.items():
                    with m.Case(opcode.value):
                        m.d.comb += [
                            self._units[unit].valid.eq(1),
                            finish.eq(self._units[unit].ready),
                        ]
                with m.Case(Opcode.FENCE.value):
                    m.d.comb += finish.eq(~self.writes_pending)
                with m.Case(Opcode.END.value):
                    m.d.comb += finish.eq(1)
                    m.d.sync += self._ended.eq(1)
        with m.If(finish):
            m.d.sync += self._executed.eq(self._executed + 1)
            with m.If(self._executed + 1 == self.program_length):
                m.d.sync += self._ended.eq(1)


def _set(target: data.View, source: data.View, name: str):
    """One field, of which the target may have more bits."""
    return getattr(target, name).eq(getattr(source, name))


assert all(unit == 1 << bit for bit, unit in enumerate(_UNITS))
