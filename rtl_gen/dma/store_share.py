# SPDX-License-Identifier: Apache-2.0
"""Which segments and rows of a STORE a port moves."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.dma.port_rows import first_row, share
from rtl_gen.interfaces.command import command_layout
from rtl_gen.interfaces.dma import OFFSET_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["SHARE", "StoreShare"]

_SEGMENT_BITS = 12
"""Bits of the segments of a STORE, and of the beats of one."""

SHARE = data.StructLayout(
    {
        "segment": 2,  # first segment
        "segments": _SEGMENT_BITS,  # segments
        "by_segment": 1,  # 1: every P-th segment from there on, 0: one after the other
        "row": ROW_BITS,  # first row
        "rows": ROW_BITS,  # rows, consecutive
        "source": ADDRESS_BITS,  # word 0 of the first row
        "offset": OFFSET_BITS + 1,  # beat of row 0 of the first segment, without a sequence's place
    }
)
"""A port's part of a STORE; nothing if segments or rows are 0."""


class StoreShare(wiring.Component):
    """Segments port, port + P, ... of every row if there are at least P segments, else all segments
    of the port's rows (see port_rows).

    Parameters
    ----------
    config: ports P.
    port: number of this port.

    Members
    -------
    command, rows: In, stable.
    o: Out(SHARE), LATENCY cycles later.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig, port: int) -> None:
        self._ports = config.ports
        self._port = port
        super().__init__(
            {
                "command": In(command_layout(Opcode.STORE)),
                "rows": In(ROW_BITS),
                "o": Out(SHARE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command, ports, port, o = self.command, self._ports, self._port, self.o
        by_segment = Signal()
        row = Signal(ROW_BITS)
        m.d.comb += by_segment.eq(command.segments >= ports)
        m.d.sync += [
            row.eq(Mux(by_segment, 0, first_row(self.rows, ports, port))),
            o.row.eq(row),
            o.rows.eq(Mux(by_segment, self.rows, share(self.rows, ports, port))),
            o.source.eq(command.source + row * command.source_stride),
            o.by_segment.eq(by_segment),
            o.segment.eq(Mux(by_segment, port, 0)),
            o.segments.eq(
                Mux(
                    by_segment,
                    (command.segments + (ports - 1 - port)) >> (ports.bit_length() - 1),
                    command.segments,
                )
            ),
            o.offset.eq(command.offset + Mux(by_segment, command.segment_stride * port, 0)),
        ]
        return m
