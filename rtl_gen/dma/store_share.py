# SPDX-License-Identifier: Apache-2.0
"""Which segments and rows of a STORE each port moves."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.dma.port_rows import PortShares, multiples, run_rows
from rtl_gen.interfaces.command import command_layout
from rtl_gen.interfaces.dma import OFFSET_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["SHARE", "StoreShare"]

_SEGMENT_BITS = 12
"""Bits of the segments of a STORE, and of the beats of one."""

SHARE = data.StructLayout(
    {
        "segments": _SEGMENT_BITS,  # segments
        "by_segment": 1,  # 1: every P-th segment from there on, 0: one after the other
        "beats": _SEGMENT_BITS + 2,  # of a row before the first segment
        "row": ROW_BITS,  # first row
        "rows": ROW_BITS,  # rows, consecutive
        "source": ADDRESS_BITS,  # word 0 of the first row
        "offset": OFFSET_BITS + 1,  # beat of row 0 of the first segment, without a sequence's place
    }
)
"""A port's part of a STORE; nothing if segments or rows are 0."""


class StoreShare(wiring.Component):
    """Port p: segments p, p + P, ... of every row if there are at least P segments, else all
    segments of the port's rows (see port_rows).

    One multiplication serves all ports: the words of a run of rows. What lies p runs or p segments
    further is a sum.

    Parameters
    ----------
    config: ports P.

    Members
    -------
    command, rows: In, stable.
    o: Out(SHARE) for each port, LATENCY cycles later.
    """

    LATENCY = 5

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._ports = config.ports
        super().__init__(
            {
                "command": In(command_layout(Opcode.STORE)),
                "rows": In(ROW_BITS),
                "o": Out(SHARE).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command, ports = self.command, self._ports
        by_segment = Signal(reset_less=True)
        run = Signal(ROW_BITS, reset_less=True)
        run_product = Signal(ADDRESS_BITS, reset_less=True)
        run_words = Signal(ADDRESS_BITS, reset_less=True)
        stride = Signal(len(command.segment_stride), reset_less=True)
        size = Signal(len(command.segment_beats), reset_less=True)
        m.submodules.shares = shares = PortShares(bits=ROW_BITS, ports=ports)
        m.d.comb += [
            shares.total.eq(self.rows),
            shares.run.eq(run),
            shares.whole.eq(by_segment),
        ]
        m.d.sync += [
            by_segment.eq(command.segments >= ports),
            run.eq(run_rows(self.rows, ports)),
            # Two registers for the multiplier's own.
            run_product.eq(run * command.source_stride),
            run_words.eq(Mux(by_segment, 0, run_product)),
            stride.eq(Mux(by_segment, command.segment_stride, 0)),
            size.eq(Mux(by_segment, command.segment_beats, 0)),
        ]
        skipped_words = multiples(m, run_words, ports, "skipped_words")
        skipped_beats = multiples(m, stride, ports, "skipped_beats")
        row_beats = multiples(m, size, ports, "row_beats")
        for port, o in enumerate(self.o):
            m.d.comb += [
                o.by_segment.eq(by_segment),
                o.row.eq(shares.first[port]),
                o.rows.eq(shares.count[port]),
                o.beats.eq(row_beats[port]),
            ]
            dealt = (command.segments + (ports - 1 - port)) >> (ports.bit_length() - 1)
            source = payload_register(m, o.source, f"source_{port}")
            segments = payload_register(m, o.segments, f"segments_{port}")
            offset = payload_register(m, o.offset, f"offset_{port}")
            m.d.sync += [
                source.eq(command.source + skipped_words[port]),
                segments.eq(Mux(by_segment, dealt, command.segments)),
                offset.eq(command.offset + skipped_beats[port]),
            ]
        return m
