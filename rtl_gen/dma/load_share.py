# SPDX-License-Identifier: Apache-2.0
"""Which beats of a LOAD each port reads."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.product import Product
from rtl_gen.dma.port_rows import PortShares, multiples, run_rows
from rtl_gen.interfaces.command import command_layout
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["LOAD_SHARE", "LoadShare"]

_BEAT_BITS = 2 * ROW_BITS
"""Of the beats of all rows, before they are checked."""

LOAD_SHARE = data.StructLayout(
    {
        "offset": _BEAT_BITS + 1,  # first beat, from the beginning of the DMA window
        "beats": _BEAT_BITS,  # 0: none
    }
)
"""A port's part of a LOAD."""


class LoadShare(wiring.Component):
    """The rows of each port (see port_rows), which are one run in DRAM, in beats.

    One multiplication serves all ports: a run of ceil(rows / P) rows is `run` beats, P runs have
    P * run beats, and the e = -rows mod P rows that are too many among them have e * row_beats.

    Parameters
    ----------
    config: ports P.

    Members
    -------
    command: In, a LOAD, whose rows have a beat at least.
    rows: In(ROW_BITS), of all ports.
    o: Out(LOAD_SHARE) for each port.

    Latency: LATENCY cycles from stable inputs to stable outputs.
    """

    LATENCY = Product.LATENCY + PortShares.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._ports = config.ports
        super().__init__(
            {
                "command": In(command_layout(Opcode.LOAD)),
                "rows": In(ROW_BITS),
                "o": Out(LOAD_SHARE).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command, ports = self.command, self._ports
        run = Signal(ROW_BITS)
        surplus = Signal(range(max(2, ports)), reset_less=True)
        surplus_beats = Signal(ROW_BITS + 2, reset_less=True)
        total = Signal(_BEAT_BITS, reset_less=True)
        m.submodules.product = product = Product(a_bits=ROW_BITS, b_bits=ROW_BITS)
        m.submodules.shares = shares = PortShares(bits=_BEAT_BITS, ports=ports)
        m.d.comb += [
            # The multiplier's input register stands behind it.
            run.eq(run_rows(self.rows, ports)),
            product.i_a.eq(run),
            product.i_b.eq(command.row_beats),
            shares.run.eq(product.o),
            shares.total.eq(total),
        ]
        m.d.sync += [
            surplus.eq(-self.rows & (ports - 1)),
            total.eq((product.o << (ports.bit_length() - 1)) - surplus_beats),
        ]
        with m.Switch(surplus):
            for rows, beats in enumerate(multiples(m, command.row_beats, ports, "row_beats")):
                with m.Case(rows):
                    m.d.sync += surplus_beats.eq(beats)
        for port, share in enumerate(self.o):
            offset = payload_register(m, share.offset, f"offset_{port}")
            m.d.sync += offset.eq(command.offset + shares.first[port])
            m.d.comb += share.beats.eq(shares.count[port])
        return m
