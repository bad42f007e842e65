# SPDX-License-Identifier: Apache-2.0
"""One fault of all that ports and decoders report in a cycle."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.registers import ErrorCode
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.error import fault_layout, port_fault_layout

__all__ = ["FaultChoice"]


class FaultChoice(wiring.Component):
    """o = the fault of the lowest port, the port's own before its decoder's.

    A read of commands may lie behind the end of the program, so its fault hides no other.

    Parameters
    ----------
    config: ports P and the width of addresses.

    Members
    -------
    i_port: P In streams of fault_layout without back-pressure.
    i_decoder: P In streams of INDEX_BITS without back-pressure, the command whose weight stream is
        wrong: STREAM.
    o: Out stream of port_fault_layout without back-pressure.

    Latency: none.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        fault = stream.Signature(fault_layout(config), always_ready=True)
        command = stream.Signature(INDEX_BITS, always_ready=True)
        chosen = stream.Signature(port_fault_layout(config), always_ready=True)
        super().__init__(
            {
                "i_port": In(fault).array(config.ports),
                "i_decoder": In(command).array(config.ports),
                "o": Out(chosen),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chosen = self.o.payload
        first = self.i_port[0]  # which reads commands
        with m.If(first.valid & first.payload.of_commands):
            m.d.comb += [self.o.valid.eq(1), chosen.fault.eq(first.payload)]
        pairs = enumerate(zip(self.i_port, self.i_decoder, strict=True))
        for index, (port, decoder) in reversed(list(pairs)):
            with m.If(decoder.valid):
                m.d.comb += [
                    self.o.valid.eq(1),
                    chosen.port.eq(index),
                    chosen.fault.eq(0),
                    chosen.fault.code.eq(ErrorCode.STREAM),
                    chosen.fault.command.eq(decoder.payload),
                ]
            with m.If(port.valid & ~port.payload.of_commands):
                m.d.comb += [
                    self.o.valid.eq(1),
                    chosen.port.eq(index),
                    chosen.fault.eq(port.payload),
                ]
        return m
