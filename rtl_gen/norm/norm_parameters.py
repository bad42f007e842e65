# SPDX-License-Identifier: Apache-2.0
"""Norm parameter memory: gain and offset of every channel."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.norm import norm_write_layout

__all__ = ["NormParameters"]


class NormParameters(wiring.Component):
    """o = words 2*index and 2*index + 1: parameters of channels index*W/2 .. index*W/2 + W/2 - 1.

    Parameters
    ----------
    config: norm_channels, width W; norm_channels*4/W words in an even and an odd bank.

    Members
    -------
    i_write: In stream of norm_write_layout without back-pressure. Addresses are taken modulo the
        bank depth's power of two.
    index: In, number of the W/2 channels.
    o: Out(16*W bits), channel 0 of them in the low 32 bits.

    Latency: LATENCY cycles from index to o. Throughput: one read and one write per cycle.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._depth = config.norm_channels * 2 // config.width
        self.banks: list[Memory] = []
        for _ in range(2):
            bank = Memory(
                shape=8 * config.width, depth=self._depth, init=[], attrs={"ram_style": "block"}
            )
            self.banks.append(bank)
        super().__init__(
            {
                "i_write": In(stream.Signature(norm_write_layout(config), always_ready=True)),
                "index": In(range(self._depth)),
                "o": Out(16 * config.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = []
        write = self.i_write.payload
        for number, bank in enumerate(self.banks):
            m.submodules[f"bank{number}"] = bank
            read_port = bank.read_port()
            write_port = bank.write_port()
            word = Signal(read_port.data.shape(), name=f"word{number}", reset_less=True)
            m.d.comb += [
                read_port.addr.eq(self.index),
                write_port.addr.eq(write.address[1:]),
                write_port.data.eq(write.data),
                write_port.en.eq(self.i_write.valid & (write.address[0] == number)),
            ]
            m.d.sync += word.eq(read_port.data)
            words.append(word)
        m.d.comb += self.o.eq(Cat(*words))
        return m
