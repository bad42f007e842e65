# SPDX-License-Identifier: Apache-2.0
"""Vector unit: NORM and VECTOR commands."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.control.bundles import COMMAND_BITS, step_layout
from rtl_gen.vector.activation_memory import (
    ADDRESS_BITS,
    memory_read_layout,
    memory_write_layout,
)
from rtl_gen.vector.argmax import CANDIDATE, row_range
from rtl_gen.vector.candidate_store import CandidateStore
from rtl_gen.vector.norm import NormUnit
from rtl_gen.vector.norm_parameters import norm_write_layout

__all__ = ["VectorUnit"]


class VectorUnit(wiring.Component):
    """Runs one command at a time: NORM in NormUnit, VECTOR in CandidateStore.

    Parameters
    ----------
    config : width W, norm_channels.

    Members
    -------
    i_command : In(stream, COMMAND_BITS), NORM or VECTOR; another opcode has no effect. step : In(step_layout).
    o_read, i_read, o_write : client "vector" of ActivationMemory.
    i_norm : In(stream, norm_write_layout), `o_norm` of Loader.
    o_candidate_row, i_candidate : connect to `i_candidate_row` and `o_candidate` of ResultWriter.
    busy : Out(1), from the cycle a command is offered until all its words are in memory.
    busy_cycle : Out(1), 1 in every cycle that counts as `vector_busy`.

    Throughput, rounding, back-pressure: see the two units.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_read": Out(stream.Signature(ADDRESS_BITS)),
                "i_read": In(memory_read_layout(config)),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "i_norm": In(stream.Signature(norm_write_layout(config))),
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
        connect(m, norm.o_read, flipped(self.o_read))
        connect(m, flipped(self.i_norm), norm.i_norm)
        opcode = self.i_command.payload[:8]
        free = norm.i_command.ready & candidates.i_command.ready
        offered = self.i_command.valid & free
        m.d.comb += [
            norm.i_read.eq(self.i_read),
            norm.step.eq(self.step),
            candidates.step.eq(self.step),
            norm.i_command.payload.eq(self.i_command.payload),
            candidates.i_command.payload.eq(self.i_command.payload),
            self.i_command.ready.eq(free),
            norm.i_command.valid.eq(offered & (opcode == Opcode.NORM.value)),
            candidates.i_command.valid.eq(offered & (opcode == Opcode.VECTOR.value)),
            self.o_candidate_row.eq(candidates.o_candidate_row),
            candidates.i_candidate.eq(self.i_candidate),
            # Only one of the two has a command, so either may own the port without arbitration.
            self.o_write.valid.eq(norm.o_write.valid | candidates.o_write.valid),
            self.o_write.payload.eq(
                Mux(
                    candidates.o_write.valid,
                    candidates.o_write.payload.as_value(),
                    norm.o_write.payload.as_value(),
                )
            ),
            norm.o_write.ready.eq(self.o_write.ready),
            candidates.o_write.ready.eq(self.o_write.ready),
            self.busy.eq(self.i_command.valid | norm.busy | candidates.busy),
            self.busy_cycle.eq(self.busy),
        ]
        return m
