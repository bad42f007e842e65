# SPDX-License-Identifier: Apache-2.0
"""VECTOR ARGMAX: arg-max candidates to activation memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.command import COMMAND_BITS, command_layout, step_layout
from rtl_gen.interfaces.memory import ADDRESS_BITS, memory_write_layout
from rtl_gen.interfaces.result import CANDIDATE, row_range
from rtl_gen.interfaces.row_set import ROW_BITS, row_count
from rtl_gen.writer.argmax import ArgMax

__all__ = ["CandidateStore"]


class _State(enum.Enum, shape=2):
    IDLE = 0
    PREPARE = 1
    READ = 2
    WRITE = 3


class CandidateStore(wiring.Component):
    """Word destination + r*stride = {u32 index, s32 value, zeros} of candidate r, for the rows of
    the row set.

    Parameters
    ----------
    config: width W.

    Members
    -------
    i_command: In stream of COMMAND_BITS, VECTOR commands only.
    step: In(step_layout).
    o_candidate_row, i_candidate: read port of ArgMax (READ_LATENCY cycles).
    o_write: Out stream of memory_write_layout, of client "vector" of ActivationMemory.
    busy: Out(1), from the cycle a command is offered until its last word has been taken.

    Throughput: one row in ROW_CYCLES cycles. Latency: LATENCY cycles from the command to the first
        word.
    """

    ROW_CYCLES = ArgMax.READ_LATENCY + 2
    LATENCY = 2 + ROW_CYCLES - 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_candidate_row": Out(row_range(config)),
                "i_candidate": In(CANDIDATE),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(_State)
        command = Signal(command_layout(Opcode.VECTOR), reset_less=True)
        row = Signal(ROW_BITS, reset_less=True)
        rows = Signal(ROW_BITS, reset_less=True)
        wait = Signal(range(ArgMax.READ_LATENCY + 1))
        address = Signal(ADDRESS_BITS, reset_less=True)
        word = Signal(64, reset_less=True)
        count = row_count(self.step, command.row_set, command.rows)
        value = self.i_candidate.value
        m.d.comb += [
            self.i_command.ready.eq(state == _State.IDLE),
            self.busy.eq(self.i_command.valid | (state != _State.IDLE)),
            self.o_candidate_row.eq(row),
            self.o_write.valid.eq(state == _State.WRITE),
            self.o_write.payload.address.eq(address),
            self.o_write.payload.mask.eq(-1),
            self.o_write.payload.data.eq(word),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += [command.as_value().eq(self.i_command.payload), row.eq(0)]
                with m.If(self.i_command.valid):
                    m.d.sync += state.eq(_State.PREPARE)
            with m.Case(_State.PREPARE):
                m.d.sync += [
                    rows.eq(count),
                    address.eq(command.destination),
                    wait.eq(0),
                    state.eq(Mux(count == 0, _State.IDLE, _State.READ)),
                ]
            with m.Case(_State.READ):
                m.d.sync += [
                    wait.eq(wait + 1),
                    word.eq(
                        Cat(
                            self.i_candidate.index,
                            Const(0, 32 - len(self.i_candidate.index)),
                            value,
                            value[-1].replicate(16),
                        )
                    ),
                ]
                with m.If(wait == ArgMax.READ_LATENCY):
                    m.d.sync += state.eq(_State.WRITE)
            with m.Case(_State.WRITE):
                m.d.sync += wait.eq(0)
                with m.If(self.o_write.ready):
                    m.d.sync += [
                        row.eq(row + 1),
                        address.eq(address + command.destination_stride),
                        state.eq(Mux(row == rows - 1, _State.IDLE, _State.READ)),
                    ]
        return m
