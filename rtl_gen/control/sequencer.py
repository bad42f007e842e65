# SPDX-License-Identifier: Apache-2.0
"""Sequencer: reads a program from DRAM and hands every command's two parts to the units, in program order."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import (
    COMMAND_BYTES,
    COMMON_FIELDS,
    Flag,
    Opcode,
    Outputs,
    TrafficClass,
    Unit,
)
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import ErrorCode
from rtl_gen.control.bundles import COMMAND_BITS
from rtl_gen.dma.bundles import READ_DESCRIPTOR, Route

__all__ = ["QUEUE_COMMANDS", "Sequencer"]

QUEUE_COMMANDS = 8
"""Commands read ahead of execution."""
_COMMAND_BEATS = COMMAND_BYTES // BEAT_BYTES
_COMMON = data.StructLayout({field.name: field.bits for field in COMMON_FIELDS})
_ENTRY = data.StructLayout({"command": COMMAND_BITS, "index": 32})
_FETCHED = (Opcode.LOAD, Opcode.MATMUL, Opcode.ATTEND)
_UNIT_OF = {
    Opcode.LOAD: "loader",
    Opcode.STORE: "storer",
    Opcode.MATMUL: "array",
    Opcode.ATTEND: "array",
    Opcode.NORM: "vector",
    Opcode.VECTOR: "vector",
    Opcode.SOFTMAX: "vector",
}


class _State(enum.Enum, shape=2):
    IDLE = 0
    RUN = 1
    FLUSH = 2


class Sequencer(wiring.Component):
    """Executes `program_length` commands at most, from beat `program` of the DMA window on.

    Commands are read four at a time through port 0 into a queue of QUEUE_COMMANDS, which two pointers leave in program
    order: the fetch pointer hands LOAD, MATMUL and ATTEND to the fetch unit as early as it takes them, the execute
    pointer hands commands to their units once the units of `wait` are idle. HOLD_FETCH: the fetch part waits until all
    earlier STOREs have been handed over, the storer is idle and writes are answered, the execute part until the fetch
    part has been handed over. A command whose condition is not met passes without effect and without waiting.

    Members
    -------
    start: pulse, accepted when not busy. stop: pulse, abandons the program (soft reset).
    program, program_length, outputs: registers, stable while busy.
    o_read/i_beat: descriptors and beats of commands on port 0 (always accepted: room is reserved before reading).
    o_fetch, o_array, o_vector, o_loader, o_storer: COMMAND_BITS streams.
    unit_busy: Unit bits; fetch_busy; writes_pending, ports_idle: of all ports.
    i_error: first-error candidates of ports and decoders {valid, code, address, port}.
    o_error: pulse with the error and the index of the command executing then.
    done: pulse. busy: level. flush: ports discard until idle. unit_reset: holds all units in reset.

    Throughput: one command every two cycles at most. Errors: ILLEGAL_COMMAND for an unknown opcode.
    After an error or stop the ports finish their bursts, then the sequencer is ready for the next start.
    """

    def __init__(self, *, address_bits: int) -> None:
        command = stream.Signature(COMMAND_BITS)
        error = {"valid": 1, "code": 4, "address": address_bits, "port": 2}
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "program": In(32),
                "program_length": In(32),
                "outputs": In(len(Outputs)),
                "o_read": Out(stream.Signature(READ_DESCRIPTOR)),
                "i_beat": In(stream.Signature(128)),
                "o_fetch": Out(command),
                "o_array": Out(command),
                "o_vector": Out(command),
                "o_loader": Out(command),
                "o_storer": Out(command),
                "unit_busy": In(4),
                "fetch_busy": In(1),
                "writes_pending": In(1),
                "ports_idle": In(1),
                "i_error": In(data.StructLayout(error)),
                "o_error": Out(
                    data.StructLayout(
                        {"valid": 1, "code": 4, "command": 32, "address": address_bits, "port": 2}
                    )
                ),
                "command_index": Out(32),
                "done": Out(1),
                "busy": Out(1),
                "flush": Out(1),
                "unit_reset": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(_State)
        ended = Signal()  # END or the last command has been executed
        illegal = Signal()
        failure = Signal()
        m.d.comb += [
            failure.eq(self.i_error.valid | illegal),
            self.busy.eq(state != _State.IDLE),
            self.flush.eq(state == _State.FLUSH),
            self.unit_reset.eq(state == _State.FLUSH),
        ]
        quiet = Signal()
        m.d.comb += quiet.eq((self.unit_busy == 0) & ~self.fetch_busy & ~self.writes_pending)

        clear = Signal()
        m.d.comb += clear.eq(state != _State.RUN)
        m.submodules.fetch_queue = fetch_queue = ResetInserter(clear)(
            fifo.SyncFIFOBuffered(width=_ENTRY.size, depth=QUEUE_COMMANDS)
        )
        m.submodules.execute_queue = execute_queue = ResetInserter(clear)(
            fifo.SyncFIFOBuffered(width=_ENTRY.size, depth=QUEUE_COMMANDS)
        )
        executed = Signal(32)  # commands that left the execute pointer
        passed = Signal(32)  # commands that left the fetch pointer
        self._read_ahead(m, state, executed, passed, (fetch_queue, execute_queue))
        self._fetch_pointer(m, fetch_queue, passed)
        self._execute_pointer(m, execute_queue, executed, passed, ended, illegal)

        settle = Signal(2)  # cycles for an accepted command to show in a unit's busy
        with m.Switch(state):
            with m.Case(_State.IDLE):
                with m.If(self.start):
                    m.d.sync += [
                        state.eq(_State.RUN),
                        executed.eq(0),
                        ended.eq(self.program_length == 0),
                        settle.eq(0),
                    ]
            with m.Case(_State.RUN):
                with m.If(ended & quiet & self.ports_idle):
                    m.d.sync += settle.eq(settle + 1)
                    with m.If(settle == 3):
                        m.d.comb += self.done.eq(~failure)
                        m.d.sync += state.eq(_State.IDLE)
                with m.Else():
                    m.d.sync += settle.eq(0)
                with m.If(failure):
                    m.d.comb += [
                        self.o_error.valid.eq(1),
                        self.o_error.command.eq(executed),
                    ]
                    with m.If(self.i_error.valid):
                        m.d.comb += [
                            self.o_error.code.eq(self.i_error.code),
                            self.o_error.address.eq(self.i_error.address),
                            self.o_error.port.eq(self.i_error.port),
                        ]
                    with m.Else():
                        m.d.comb += self.o_error.code.eq(ErrorCode.ILLEGAL_COMMAND)
                with m.If(failure | self.stop):
                    m.d.sync += [state.eq(_State.FLUSH), settle.eq(0)]
            with m.Case(_State.FLUSH):
                m.d.sync += settle.eq(settle + (settle != 3))
                with m.If((settle == 3) & self.ports_idle):
                    m.d.sync += state.eq(_State.IDLE)
        m.d.comb += self.command_index.eq(executed)
        return m

    def _read_ahead(self, m: Module, state, executed, passed, queues) -> None:
        """Request commands while the queue has room for them, assemble beats to commands, fill both queues."""
        requested = Signal(32)
        received = Signal(32)
        group = Signal(range(5))
        left = Signal(32)
        m.d.comb += [
            left.eq(self.program_length - requested),
            group.eq(4),
            self.o_read.valid.eq(
                (state == _State.RUN)
                & (left != 0)
                & (requested - executed <= QUEUE_COMMANDS - 4)
                & (requested - passed <= QUEUE_COMMANDS - 4)
            ),
            self.o_read.payload.offset.eq(self.program + _COMMAND_BEATS * requested),
            self.o_read.payload.beats.eq(group * _COMMAND_BEATS),
            self.o_read.payload.route.eq(Route.COMMAND),
            self.o_read.payload.traffic.eq(TrafficClass.COMMANDS.value),
        ]
        with m.If(left < 4):
            m.d.comb += group.eq(left)
        with m.If(self.o_read.valid & self.o_read.ready):
            m.d.sync += requested.eq(requested + group)

        beats = Signal(128 * (_COMMAND_BEATS - 1))
        count = Signal(range(_COMMAND_BEATS))
        m.d.comb += self.i_beat.ready.eq(1)
        entry = Signal(_ENTRY)
        m.d.comb += [
            entry.command.eq(Cat(beats, self.i_beat.payload)),
            entry.index.eq(received),
        ]
        complete = Signal()
        m.d.comb += complete.eq(self.i_beat.valid & (count == _COMMAND_BEATS - 1))
        for queue in queues:
            m.d.comb += [queue.w_data.eq(entry), queue.w_en.eq(complete)]
        with m.If(self.i_beat.valid):
            m.d.sync += [count.eq(count + 1), beats.eq(Cat(beats[128:], self.i_beat.payload))]
            with m.If(complete):
                m.d.sync += received.eq(received + 1)
        with m.If(state != _State.RUN):
            m.d.sync += [requested.eq(0), received.eq(0), count.eq(0)]

    def _skips(self, m: Module, common) -> Signal:
        """1 if the command's condition is not met."""
        skips = Signal()
        m.d.comb += skips.eq((common.condition != 0) & ((common.condition & self.outputs) == 0))
        return skips

    def _fetch_pointer(self, m: Module, queue, passed) -> None:
        entry = data.View(_ENTRY, queue.r_data)
        common = data.View(_COMMON, entry.command[: _COMMON.size])
        skips = self._skips(m, common)
        wanted = Signal()
        released = Signal()  # registered: a unit's busy may depend on the valid offered to it
        held = Signal()
        finished = Signal()  # nothing beyond END is fetched
        # STOREs that the fetch pointer has passed but the storer has not taken; below 0 where execution is ahead. It is
        # not at a held command, so there 0 means that every earlier STORE has been handed over.
        stores = Signal(range(-QUEUE_COMMANDS, QUEUE_COMMANDS + 1))
        storing = Signal()
        stored = Signal()  # every STORE so far is in DRAM
        with m.Switch(common.opcode):
            with m.Case(*(opcode.value for opcode in _FETCHED)):
                m.d.comb += wanted.eq(~skips)
        m.d.comb += [
            held.eq((common.flags & Flag.HOLD_FETCH.value).any() & ~released),
            self.o_fetch.payload.eq(entry.command),
            self.o_fetch.valid.eq(queue.r_rdy & wanted & ~held & ~finished),
            queue.r_en.eq(
                queue.r_rdy & ~finished & (~wanted | (self.o_fetch.valid & self.o_fetch.ready))
            ),
        ]
        storer_busy = (self.unit_busy & Unit.STORER.value).any()
        m.d.comb += [
            storing.eq(queue.r_en & ~skips & (common.opcode == Opcode.STORE.value)),
            # The storer is busy from the cycle of the hand-over on, so neither of the two can miss a STORE.
            stored.eq((stores == 0) & ~storer_busy & ~self.writes_pending),
        ]
        m.d.sync += [
            stores.eq(stores + storing - (self.o_storer.valid & self.o_storer.ready)),
            released.eq(queue.r_rdy & ~queue.r_en & stored),
        ]
        with m.If(~self.busy):
            m.d.sync += [finished.eq(0), passed.eq(0), stores.eq(0)]
        with m.Elif(queue.r_rdy & ~skips & (common.opcode == Opcode.END.value)):
            m.d.sync += finished.eq(1)
        with m.If(self.busy & queue.r_en):
            m.d.sync += passed.eq(passed + 1)

    def _execute_pointer(self, m: Module, queue, executed, passed, ended, illegal) -> None:
        entry = data.View(_ENTRY, queue.r_data)
        common = data.View(_COMMON, entry.command[: _COMMON.size])
        skips = self._skips(m, common)
        streams = {
            "array": self.o_array,
            "vector": self.o_vector,
            "loader": self.o_loader,
            "storer": self.o_storer,
        }
        # Registered, so that one cycle passes after a hand-over for the unit's busy to be seen, and because a unit's
        # busy may depend on the valid offered to it. Only units that this pointer starts could become busy meanwhile.
        ready = Signal()
        finish = Signal()
        # Later STOREs must not keep the storer busy while a fetch waits for it.
        held = (common.flags & Flag.HOLD_FETCH.value).any() & (passed <= entry.index) & ~skips
        met = skips | ((common.wait & self.unit_busy) == 0)
        m.d.sync += ready.eq(queue.r_rdy & ~ended & ~held & ~finish & (ready | met))
        for port in streams.values():
            m.d.comb += port.payload.eq(entry.command)
        with m.If(ready & queue.r_rdy):
            with m.If(skips):
                m.d.comb += finish.eq(1)
            with m.Else(), m.Switch(common.opcode):
                for opcode, unit in _UNIT_OF.items():
                    with m.Case(opcode.value):
                        m.d.comb += [
                            streams[unit].valid.eq(1),
                            finish.eq(streams[unit].ready),
                        ]
                with m.Case(Opcode.FENCE.value):
                    m.d.comb += finish.eq(~self.writes_pending)
                with m.Case(Opcode.END.value):
                    m.d.comb += finish.eq(1)
                    m.d.sync += ended.eq(1)
                with m.Default():
                    m.d.comb += illegal.eq(self.busy & ~self.flush)
        m.d.comb += queue.r_en.eq(finish)
        with m.If(finish):
            m.d.sync += executed.eq(executed + 1)
            with m.If(executed + 1 == self.program_length):
                m.d.sync += ended.eq(1)


assert Unit.ALL == 15  # unit_busy is indexed by the bits of Unit
