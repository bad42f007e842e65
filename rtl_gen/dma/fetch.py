# SPDX-License-Identifier: Apache-2.0
"""Fetch unit: turns commands into what each port reads, ahead of their execution."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.dma.load_share import LoadShare
from rtl_gen.dma.port_fetch import PortFetch
from rtl_gen.interfaces.command import (
    COMMAND_BITS,
    INDEX_BITS,
    command_index,
    command_layout,
    step_layout,
)
from rtl_gen.interfaces.dma import READ_DESCRIPTOR
from rtl_gen.interfaces.row_set import ROW_BITS, row_count
from rtl_gen.interfaces.tile import DECODE_JOB

__all__ = ["FetchUnit"]


class FetchUnit(wiring.Component):
    """Hands every command to the P port fetchers, which work through it independently; see
    PortFetch for the order.

    Parameters
    ----------
    config: the configuration.

    Members
    -------
    i_command: In stream of COMMAND_BITS: LOAD, MATMUL, ATTEND in program order (others are taken
        and do nothing).
    step: In(step_layout), stable while the device runs.
    o_read: P Out streams of READ_DESCRIPTOR, in the order of the port's data.
    o_decode: P Out streams of DECODE_JOB, likewise.
    busy: Out, from the cycle after a command is accepted until all of it is in the ports' queues.
    busy_command: Out(INDEX_BITS), with `busy`, index of the command.

    Latency: `latency` cycles from a MATMUL command to `o_read[p].valid`, `load_latency` from a
    LOAD. Throughput: a MATMUL every 5 cycles. Back-pressure: a port whose queues are full holds up
    the next command, but not the other ports' share of this one.
    """

    latency = 5
    load_latency = latency + LoadShare.LATENCY - 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "o_read": Out(stream.Signature(READ_DESCRIPTOR)).array(config.ports),
                "o_decode": Out(stream.Signature(DECODE_JOB)).array(config.ports),
                "busy": Out(1),
                "busy_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command = Signal(COMMAND_BITS, reset_less=True)
        active = Signal()
        start = Signal()
        working = Signal()
        rows = Signal(ROW_BITS, reset_less=True)
        shared = Signal(range(LoadShare.LATENCY + 1))  # cycles since `start`
        layout = command_layout(Opcode.LOAD)
        load, offered = (
            data.View(layout, source[: layout.size]) for source in (command, self.i_command.payload)
        )
        m.submodules.share = share = LoadShare(config=self.config)
        m.d.comb += [share.command.eq(load), share.rows.eq(rows)]
        for index in range(self.config.ports):
            port = PortFetch(config=self.config, port=index)
            m.submodules[f"port{index}"] = port
            m.d.comb += [
                port.start.eq(start),
                port.command.eq(command),
                port.step.eq(self.step),
                port.share.eq(share.o[index]),
                port.share_valid.eq(shared == LoadShare.LATENCY),
            ]
            wiring.connect(m, port.o_read, wiring.flipped(self.o_read[index]))
            wiring.connect(m, port.o_decode, wiring.flipped(self.o_decode[index]))
            with m.If(port.busy):
                m.d.comb += working.eq(1)
        m.d.comb += [
            self.i_command.ready.eq(~active),
            self.busy.eq(active),
            self.busy_command.eq(command_index(command)),
        ]
        m.d.sync += start.eq(self.i_command.valid & ~active)
        with m.If(~active):
            m.d.sync += [
                command.eq(self.i_command.payload),
                active.eq(self.i_command.valid),
                rows.eq(row_count(self.step, offered.row_set, offered.rows)),
                shared.eq(0),
            ]
        with m.Elif(~start & ~working):
            m.d.sync += active.eq(0)
        with m.If(active & (shared != LoadShare.LATENCY)):
            m.d.sync += shared.eq(shared + 1)
        return m
