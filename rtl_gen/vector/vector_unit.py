# SPDX-License-Identifier: Apache-2.0
"""Vector unit: NORM, SOFTMAX and VECTOR commands."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.baseline.softmax_unit import SoftmaxUnit
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.memory import MemoryReadSignature, MemoryWriteSignature
from rtl_gen.interfaces.norm import norm_write_layout
from rtl_gen.interfaces.result import CANDIDATE, row_range
from rtl_gen.memory.row_reader import RowReader
from rtl_gen.norm.norm import NormUnit
from rtl_gen.vector.candidate_store import CandidateStore

__all__ = ["VectorUnit"]


class VectorUnit(wiring.Component):
    """Runs one command at a time: NORM in NormUnit, SOFTMAX in SoftmaxUnit, VECTOR in
    CandidateStore. There is a SoftmaxUnit only with `baseline`.

    NormUnit and SoftmaxUnit share one RowReader, and with it the memory of the row buffer.

    Parameters
    ----------
    config: width W, norm_channels, max_context, lanes T, probability_bits, baseline.

    Members
    -------
    i_command: In stream of COMMAND_BITS, NORM, SOFTMAX or VECTOR; another opcode has no effect.
    step: In(step_layout).
    o_read: Out(MemoryReadSignature), client "vector" of ActivationMemory.
    o_write: Out(MemoryWriteSignature), client "vector" of ActivationMemory.
    i_norm: In stream of norm_write_layout without back-pressure, `o_norm` of Loader.
    o_candidate_row, i_candidate: connect to `i_candidate_row` and `o_candidate` of ResultWriter.
    busy: Out(1), from the cycle a command is offered until all its words are in memory.
    busy_cycle: Out(1), 1 in every cycle that counts as `vector_busy`.

    Throughput, rounding, back-pressure: see the three units.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_read": Out(MemoryReadSignature(config)),
                "o_write": Out(MemoryWriteSignature(config)),
                "i_norm": In(stream.Signature(norm_write_layout(config), always_ready=True)),
                "o_candidate_row": Out(row_range(config)),
                "i_candidate": In(CANDIDATE),
                "busy": Out(1),
                "busy_cycle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.norm = norm = NormUnit(config=self._config)
        m.submodules.candidates = candidates = CandidateStore(config=self._config)
        m.submodules.reader = reader = RowReader(config=self._config)
        connect(m, reader.o_read, flipped(self.o_read))
        connect(m, flipped(self.i_norm), norm.i_norm)
        units: dict[Opcode, NormUnit | SoftmaxUnit | CandidateStore] = {Opcode.NORM: norm}
        reading: list[NormUnit | SoftmaxUnit] = [norm]
        if self._config.baseline:
            m.submodules.softmax = softmax = SoftmaxUnit(config=self._config)
            units[Opcode.SOFTMAX] = softmax
            reading.append(softmax)
        units[Opcode.VECTOR] = candidates
        opcode = self.i_command.payload[:8]
        free = Signal()
        offered = self.i_command.valid & free
        m.d.comb += [
            free.eq(Cat(unit.i_command.ready for unit in units.values()).all()),
            self.i_command.ready.eq(free),
            self.busy.eq(self.i_command.valid | Cat(unit.busy for unit in units.values()).any()),
            self.busy_cycle.eq(self.busy),
            norm.step.eq(self.step),
            candidates.step.eq(self.step),
            self.o_candidate_row.eq(candidates.o_candidate_row),
            candidates.i_candidate.eq(self.i_candidate),
        ]
        for code, unit in units.items():
            m.d.comb += [
                unit.i_command.payload.eq(self.i_command.payload),
                unit.i_command.valid.eq(offered & (opcode == code.value)),
                unit.o_write.ready.eq(self.o_write.word.ready),
            ]
        self._read(m, reader, reading, offered & (opcode == Opcode.SOFTMAX.value))
        writing = [*reading, candidates]
        write = norm.o_write.payload.as_value()
        for unit in writing[1:]:
            write = Mux(unit.o_write.valid, unit.o_write.payload.as_value(), write)
        m.d.comb += [
            self.o_write.word.valid.eq(Cat(unit.o_write.valid for unit in writing).any()),
            self.o_write.word.payload.eq(write),
        ]
        return m

    def _read(
        self,
        m: Module,
        reader: RowReader,
        reading: list[NormUnit | SoftmaxUnit],
        softmax_begins: Value,
    ) -> None:
        """The reader and its words to the unit that has the command.

        Only one of the units has a command, so each may own the reader and the write port without
        arbitration.
        """
        softmax_reads = Signal()
        if len(reading) > 1:
            with m.If(self.i_command.valid & self.i_command.ready):
                m.d.sync += softmax_reads.eq(softmax_begins)
        row: Value = reading[0].o_row.payload.as_value()
        buffered: Value = reading[0].i_buffered.ready
        for unit in reading[1:]:
            row = Mux(softmax_reads, unit.o_row.payload.as_value(), row)
            buffered = Mux(softmax_reads, unit.i_buffered.ready, buffered)
        m.d.comb += [
            reader.i_row.valid.eq(Cat(unit.o_row.valid for unit in reading).any()),
            reader.i_row.payload.eq(row),
            reader.i_row_done.eq(Cat(unit.o_row_done for unit in reading).any()),
            reader.o.ready.eq(buffered),
        ]
        for unit, owns in zip(reading, (~softmax_reads, softmax_reads), strict=False):
            m.d.comb += [
                unit.o_row.ready.eq(reader.i_row.ready & owns),
                unit.i_word.payload.eq(reader.o_word.payload),
                unit.i_word.valid.eq(reader.o_word.valid & owns),
                unit.i_buffered.payload.eq(reader.o.payload),
                unit.i_buffered.valid.eq(reader.o.valid & owns),
            ]
